import { queue } from 'omnibus'

export const myapp = queue('myapp')
