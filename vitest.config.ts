import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: 'test/support/setup.ts',
    testTimeout: 60_000,
    hookTimeout: 180_000,
    // Two cores, real brokers and real processes: more at once would only make each of them slower.
    maxWorkers: 2,
  },
})
