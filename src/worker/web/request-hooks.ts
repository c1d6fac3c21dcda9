/** `preRequest` and `postRequest`, at the level of node:http and so the same for every framework. */
import type { RequestListener } from 'node:http'
import type { WorkerHooks } from '../worker-hooks.ts'

/** To be called for each request before the app hears of it. None where the file has neither hook, so that they cost nothing then. */
export function requestHooks(hooks: WorkerHooks): RequestListener[] {
  const hasPost = hooks.has('postRequest')
  if (!hasPost && !hooks.has('preRequest')) return []
  const observe: RequestListener = (request, response) => {
    const began = performance.now()
    void hooks.run('preRequest', { request })
    if (!hasPost) return
    response.once('close', () => {
      const durationMs = performance.now() - began
      void hooks.run('postRequest', { request, status: response.statusCode, durationMs, completed: response.writableFinished })
    })
  }
  return [observe]
}
