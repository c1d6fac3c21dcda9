import { DatabaseSync } from 'node:sqlite'

/** A new connection to the shop's database, which is made where there is none. */
export function openShop(): DatabaseSync {
  const database = new DatabaseSync(process.env.SHOP_DB ?? 'shop.db', { timeout: 5_000 })
  database.exec(`
    PRAGMA journal_mode = WAL;
    CREATE TABLE IF NOT EXISTS orders (item TEXT, quantity INTEGER);
    CREATE TABLE IF NOT EXISTS stock (item TEXT PRIMARY KEY, count INTEGER);
    INSERT INTO stock VALUES ('tea', 1000), ('coffee', 1000) ON CONFLICT DO NOTHING;
  `)
  return database
}
