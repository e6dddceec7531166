// The kernel's /init: a few system calls that give the runtime what it cannot start without.
import { MS_NODEV, MS_NOEXEC, MS_NOSUID } from './generated/constants/mount.ts'
import { AT_FDCWD } from './generated/constants/open.ts'
import { Program, vector } from './program.ts'

/** What the stub executes when it is done. */
export interface BootStubOptions {
  /** Absolute path of the program. */
  program: string
  /** Arguments after argv[0]. */
  args: readonly string[]
  /**
   * The whole environment. Nothing of the kernel's is passed on: unknown `name=value` words of its command line
   * would otherwise become variables of PID 1 (`BUN_*`, `LD_PRELOAD`).
   */
  env: Readonly<Record<string, string>>
}

/**
 * The program of an initramfs' `/init`: mounts /proc and /dev and executes `program`.
 *
 * Bun aborts without /proc, because the C library reads /proc/self/maps, so it cannot be `/init` itself. A step
 * that fails says so on the console and exits, which the kernel answers with a panic (and a reboot, with `panic=`).
 *
 * @example
 * ```ts
 * import { bootStub } from '@pkg/sys/boot-stub'
 *
 * const stub = bootStub({ program: '/bin/bun', args: ['/sbin/init.js'], env: { PATH: '/bin' } })
 * const { code, data } = stub.standalone({ architecture: 'arm64', address: 0x500000 })
 * console.assert(code.length < 500 && data.length < 2000)
 * ```
 */
export function bootStub({ program, args, env }: BootStubOptions): Program {
  const stub = new Program()
  const failures: [message: string, label: ReturnType<Program['label']>][] = []
  const onFailure = (message: string): ReturnType<Program['label']> => {
    const label = stub.label()
    failures.push([message, label])
    return label
  }
  const noFlags = MS_NOSUID | MS_NODEV | MS_NOEXEC
  const cannotProc = onFailure('cannot mount /proc')
  const cannotDev = onFailure('cannot mount /dev (devtmpfs)')
  stub.call('mkdirat', AT_FDCWD, '/proc', 0o755).ignoreErrors()
  stub.call('mount', 'proc', '/proc', 'proc', noFlags, null).tolerate('EBUSY').otherwise(cannotProc)
  stub.call('mkdirat', AT_FDCWD, '/dev', 0o755).ignoreErrors()
  // EBUSY: with CONFIG_DEVTMPFS_MOUNT and a root on disk the kernel has mounted it already.
  stub
    .call('mount', 'devtmpfs', '/dev', 'devtmpfs', MS_NOSUID | MS_NOEXEC, 'mode=0755')
    .tolerate('EBUSY')
    .otherwise(cannotDev)
  const environment = Object.entries(env).map(([name, value]) => `${name}=${value}`)
  stub
    .call('execve', program, vector([program, ...args]), vector(environment))
    .otherwise(onFailure(`cannot execute ${program}`))
  for (const [message, label] of failures) {
    stub.place(label)
    const line = `solo stub: ${message}\n`
    stub.call('write', 2, line, new TextEncoder().encode(line).length).ignoreErrors()
    stub.call('exit_group', 1)
  }
  return stub
}
