/** `boot`, and what it takes and gives. The rest is under its own subpaths. */
export { boot, objectionsTo, Vm } from './boot.ts'
export type { BootOptions, KernelChoice, Need, Prepared, RebootOptions, Share } from './boot.ts'
export type { Backend, Machine, VmExit } from './machine.ts'
