/** `POST /orders` writes an order and tells of it in one transaction; `GET /stock` shows what stock.ts has made of all of them. */
import { Hono } from 'hono'
import { createBus, sqliteOutbox, ValidationError } from 'omnibus'
import { OrderPlaced, stock } from './contracts.ts'
import { openShop } from './database.ts'

const bus = createBus({ declares: [stock] })
const events = bus.outbox(sqliteOutbox(openShop))
const app = new Hono()

app.post('/orders', async (context) => {
  const order = await context.req.json()
  // Of this request alone, for a transaction that awaits. Closed without a commit, it is rolled back.
  using shop = openShop()
  shop.exec('BEGIN IMMEDIATE')
  const { id } = await events.publish(shop, OrderPlaced, order)
  shop.prepare('INSERT INTO orders VALUES (?, ?)').run(order.item, order.quantity)
  shop.exec('COMMIT')
  return context.json({ id }, 202)
})

app.get('/stock', (context) => {
  using shop = openShop()
  return context.json(shop.prepare('SELECT item, count, (SELECT count(*) FROM orders) AS orders FROM stock').all())
})

app.onError((error, context) => {
  if (error instanceof ValidationError) return context.json({ error: error.message }, 400)
  throw error
})

export default app
