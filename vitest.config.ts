import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: 'test/support/setup.ts',
    testTimeout: 60_000,
    hookTimeout: 180_000,
    // Two cores, real brokers and real processes: more at once would only make each of them slower.
    maxWorkers: 2,
    // Real brokers killed on a busy machine: in CI one failure is tried again, and the report says so; at a desk it is a finding.
    retry: process.env['CI'] === 'true' ? 1 : 0,
  },
})
