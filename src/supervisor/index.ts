export { type MasterOptions, runMaster } from './master.ts'
