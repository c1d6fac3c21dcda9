import { supervisorFaults } from './matrix.ts'

supervisorFaults()
