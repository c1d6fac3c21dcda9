export { EXIT } from './exit-codes.ts'
export { type MasterOptions, runMaster } from './master.ts'
