/** Takes what was ordered from the stock, once for each order, however often it hears of it. */
import { consume, on, sqliteInbox } from 'omnibus'
import { OrderPlaced, stock } from './contracts.ts'
import { openShop } from './database.ts'

export default consume(
  stock,
  { inbox: sqliteInbox(openShop), timeoutMs: 10_000 },
  on(OrderPlaced, ({ data: { item, quantity } }, { transaction }) =>
    transaction.prepare('UPDATE stock SET count = count - ? WHERE item = ?').run(quantity, item),
  ),
)
