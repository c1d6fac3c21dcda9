import { faultMatrix } from './matrix.ts'
import { redis } from './victim.ts'

faultMatrix(redis)
