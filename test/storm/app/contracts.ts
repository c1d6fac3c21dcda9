import { event, queue } from 'omnibus'

export const Ticked = event<{ n: number }>('storm.ticked.v1')
export const ticks = queue('storm.ticks', { listensTo: [Ticked] })
