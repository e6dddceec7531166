/** `boot`, and what it takes and gives. The rest is under its own subpaths. */
export { boot } from './qemu.ts'
export type { BootOptions, ExitReason, Forward, Vm, VmExit } from './qemu.ts'
