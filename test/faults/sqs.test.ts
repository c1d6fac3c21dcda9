import { sqsFaults } from './matrix.ts'

sqsFaults()
