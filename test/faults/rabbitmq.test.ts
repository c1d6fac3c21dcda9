import { faultMatrix } from './matrix.ts'
import { rabbit } from './victim.ts'

faultMatrix(rabbit)
