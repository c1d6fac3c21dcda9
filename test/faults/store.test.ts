import { storeFaults } from './matrix.ts'

storeFaults()
