import { defineConfig } from 'omnibus'

export default defineConfig({
  bus: { url: process.env['BUS_URL'] },
  consumers: { video: { entry: './video.ts', instances: 2 } },
  probes: '0.0.0.0:9000',
  // As long as the longest job may take, so that a rollout cuts none off.
  gracefulTimeoutMs: 300_000,
})
