/** For tests: of a transport, whether it keeps its promises; of an app, its messages without a broker. */
export { type ConformanceOptions, type Exemption, type Runner, conformanceSuite } from './conformance/suite.ts'
export type { Transport } from '../core/transport.ts'
