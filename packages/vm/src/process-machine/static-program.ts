/** Makes a static executable of a list of system calls: no compiler, no libc, no shell. */
import { staticElfAddresses, writeStaticElf } from '@pkg/image/elf'
import type { Program } from '@pkg/sys/program'
import { hostArchitecture } from '../host/system.ts'
import type { Architecture } from '../machine.ts'

/**
 * The bytes of an executable that makes the system calls of `program`. A step that fails ends it
 * with exit status 127, unless the step says otherwise.
 */
export function staticProgram(program: Program, machine: Architecture = hostArchitecture()): Uint8Array {
  const architecture = machine === 'aarch64' ? 'arm64' : 'x64'
  // The sizes depend on no address, so any will do to learn them.
  const draft = program.standalone({ architecture, address: 0x40_0000 })
  const sizesBytes = [draft.code.length, draft.data.length]
  const [codeAddress = 0, dataAddress = 0] = staticElfAddresses({ machine, sizesBytes })
  const { code, data } = program.standalone({ architecture, address: dataAddress })
  return writeStaticElf({
    machine,
    entryAddress: codeAddress,
    segments: [
      { address: codeAddress, bytes: code, flags: 'rx' },
      // Each step writes its result beside it.
      { address: dataAddress, bytes: data, flags: 'rw' },
    ],
  })
}
