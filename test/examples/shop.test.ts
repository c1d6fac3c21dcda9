/** examples/shop: orders and stock agree in the end, also when consumers and web workers are killed meanwhile. */
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { omnibus, root } from '../support/omnibus.ts'
import { freePort } from '../support/ports.ts'
import { tempDir } from '../support/run-folder.ts'
import { waitFor } from '../support/wait.ts'

test('the stock of examples/shop is less by what was ordered, whatever is killed', async () => {
  const [port, folder] = [await freePort(), tempDir('shop')]
  const args = ['serve', join(root, 'examples', 'shop', 'omnibus.config.ts'), '--bind', `127.0.0.1:${port}`, '--data', tempDir('data')]
  await using server = omnibus(args, { env: { SHOP_DB: join(folder, 'shop.db') } })
  const order = (body: unknown): Promise<Response> =>
    fetch(`http://127.0.0.1:${port}/orders`, { method: 'POST', body: JSON.stringify(body) })
  const stock = async () =>
    (await (await fetch(`http://127.0.0.1:${port}/stock`)).json()) as { item: string; count: number; orders: number }[]
  await waitFor(() => stock(), { what: 'the app to answer' })
  const refused = await order({ item: 'milk', quantity: 1 })
  expect([refused.status, await refused.text()]).toEqual([400, expect.stringContaining('item')])
  expect((await stock())[0]?.orders).toBe(0)

  const units = server.processes().filter((pid) => pid !== server.pid)
  let killed = 0
  for (let n = 0; n < 60; n++) {
    // A worker that is killed may take a request with it, and its order, or not.
    await order({ item: 'tea', quantity: 2 }).catch(() => undefined)
    if (n % 20 !== 10) continue
    process.kill(units[killed++ % units.length]!, 'SIGKILL')
  }
  const agree = async (): Promise<boolean> => {
    const [coffee, tea] = (await stock()).toSorted((a, b) => a.item.localeCompare(b.item))
    return coffee?.count === 1_000 && tea?.count === 1_000 - 2 * tea!.orders && tea!.orders > 50
  }
  await waitFor(agree, { what: 'orders and stock to agree' }).catch(async (error: unknown) => {
    throw new Error(`${String(error)}: ${JSON.stringify(await stock())}`)
  })
  server.signal('SIGTERM')
  expect(await server.exit()).toEqual({ code: 0, signal: null })
})
