/** The Node side of a system whose other side is a Flask app under Gunicorn, in flask_app. */
import { defineConfig } from 'omnibus'

export default defineConfig({
  // The listener is for the other side; on loopback it needs no password.
  bus: { url: process.env.BUS_URL, listen: process.env.BUS_LISTEN ?? '127.0.0.1:5673' },
  web: { entry: './web.ts' },
  consumers: { answers: { entry: './answers.ts' } },
})
