// The kernel's /init: a static program of a few system calls that gives Bun what it cannot start without.
import { bootStub } from '@pkg/sys/boot-stub'
import type { Architecture } from '@pkg/vm/machine'
import { staticProgram } from './static-program.ts'

/** All that PID 1 finds in its environment; init hands none of it on. */
export const initEnvironment: Readonly<Record<string, string>> = {
  PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  HOME: '/root',
  TERM: 'linux',
  // It waits, and runs little of its code twice: without the optimizing compiler it is ready sooner and takes 4 MiB less.
  BUN_JSC_useDFGJIT: '0',
  // Bun would keep a second copy of init's bundle in memory, as the root file system is memory.
  BUN_RUNTIME_TRANSPILER_CACHE_PATH: '0',
}

/** The bytes of /init: it mounts /proc and /dev and executes Bun with init's bundle. */
export function stub(architecture: Architecture): Uint8Array {
  const program = bootStub({ program: '/bin/bun', args: ['/sbin/init.js'], env: initEnvironment })
  return staticProgram(program, architecture)
}
