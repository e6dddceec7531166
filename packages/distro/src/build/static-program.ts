// A syscall program as a static executable, written without compiler or linker.
import { staticElfAddresses, writeStaticElf } from '@pkg/image/elf'
import type { Program } from '@pkg/sys/program'
import type { Architecture } from '@pkg/vm/machine'

/** The bytes of an executable that runs `program`: an initramfs' `/init`. */
export function staticProgram(program: Program, machine: Architecture): Uint8Array {
  const architecture = machine === 'x86_64' ? 'x64' : 'arm64'
  // The sizes depend on no address, so any will do to learn them.
  const draft = program.standalone({ architecture, address: 0x40_0000 })
  const [codeAddress, dataAddress] = staticElfAddresses({
    machine,
    sizesBytes: [draft.code.length, draft.data.length],
  }) as [number, number]
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
