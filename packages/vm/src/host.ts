/**
 * The machine that provides: its distribution and architecture, its cache folder, and files that are written so that
 * nobody sees half of one and nothing half-made outlives the process.
 */
export { cacheFolder } from './host/cache.ts'
export { LockFileError, type LockFileProblem, ProvisionError } from './host/error.ts'
export {
  displayPath,
  errorCode,
  explainWriteError,
  kindOf,
  readBytesIfThere,
  readTextIfThere,
  sha256,
  sha256File,
  writeAtomically,
} from './host/files.ts'
export { fillOnce } from './host/once.ts'
export { killPrograms, type ProgramResult, runProgram } from './host/program.ts'
export { type Scratch, scratchBeside } from './host/scratch.ts'
export { debianArchitecture, hostArchitecture, type HostSystem, hostSystem } from './host/system.ts'
