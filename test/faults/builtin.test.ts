import { faultMatrix } from './matrix.ts'
import { builtin } from './victim.ts'

faultMatrix(builtin)
