import { event, queue } from 'omnibus'
import { z } from 'zod'

export const OrderPlaced = event('order.placed.v1', {
  schema: z.object({ item: z.enum(['tea', 'coffee']), quantity: z.int().positive() }),
})
export const stock = queue('stock', { listensTo: [OrderPlaced] })
