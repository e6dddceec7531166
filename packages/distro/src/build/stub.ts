// The kernel's /init: a static program of a few system calls that gives Bun what it cannot start without,
// written without compiler or linker.
import { staticElfAddresses, writeStaticElf } from '@pkg/image/elf'
import { bootStub } from '@pkg/sys/boot-stub'
import type { Architecture } from '../host/system.ts'

/** All that PID 1 finds in its environment; init hands none of it on. */
const environment: Readonly<Record<string, string>> = {
  PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  HOME: '/root',
  TERM: 'linux',
  // Bun would keep a second copy of init's bundle in memory, as the root file system is memory.
  BUN_RUNTIME_TRANSPILER_CACHE_PATH: '0',
}

/** The bytes of /init: it mounts /proc and /dev and executes Bun with init's bundle. */
export function stub(architecture: Architecture): Uint8Array {
  const program = bootStub({ program: '/bin/bun', args: ['/sbin/init.js'], env: environment })
  const target = architecture === 'x86_64' ? 'x64' : 'arm64'
  // The sizes depend on no address, so any will do to learn them.
  const draft = program.standalone({ architecture: target, address: 0x40_0000 })
  const [codeAddress, dataAddress] = staticElfAddresses({
    machine: architecture,
    sizesBytes: [draft.code.length, draft.data.length],
  }) as [number, number]
  const { code, data } = program.standalone({ architecture: target, address: dataAddress })
  return writeStaticElf({
    machine: architecture,
    entryAddress: codeAddress,
    segments: [
      { address: codeAddress, bytes: code, flags: 'rx' },
      // Each step writes its result beside it.
      { address: dataAddress, bytes: data, flags: 'rw' },
    ],
  })
}
