import { defineConfig } from 'omnibus'

export default defineConfig({
  bus: { url: process.env['BUS_URL'] },
  web: { entry: './web.ts', workers: 2 },
  // For the orchestrator alone: do not publish this port.
  probes: '0.0.0.0:9000',
  // Shorter than what the orchestrator waits before it kills.
  gracefulTimeoutMs: 25_000,
})
