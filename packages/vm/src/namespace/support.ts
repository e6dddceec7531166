/** Whether this machine lets us make namespace guests, found by making one. */
import { readFileSync, rmSync } from 'node:fs'
import { chmod, mkdtemp, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Program } from '@pkg/sys/program'
import { ProcessMachine } from '../process-machine/process-machine.ts'
import { staticProgram } from '../process-machine/static-program.ts'
import { startLife } from './life.ts'
import { plan } from './options.ts'

/** What {@link namespaceSupport} found. */
export interface NamespaceSupport {
  /** Whether a guest started and ended as it should. */
  works: boolean
  /** Why not, and what helps, in words; empty when it works. */
  reason: string
}

let found: Promise<NamespaceSupport> | undefined

/**
 * Makes a guest of a few system calls, in about 20 ms, and says why it cannot where it cannot. Asked once a process.
 *
 * @example
 * ```ts
 * import { namespaceSupport } from '@pkg/vm/namespace'
 *
 * const { works, reason } = await namespaceSupport()
 * if (!works) process.stderr.write(`no namespaces: ${reason}\n`)
 * ```
 */
export function namespaceSupport(): Promise<NamespaceSupport> {
  found ??= tryNamespace()
  return found
}

async function tryNamespace(): Promise<NamespaceSupport> {
  const probe: Probe = {}
  try {
    const folder = await probeFolder(probe)
    const planned = plan({ folder, program: '/init' })
    const start = (onConsole: (bytes: Uint8Array) => void): ReturnType<typeof startLife> =>
      startLife(planned, { onConsole, onControl: undefined, powerdownSignal: 'SIGPWR' })
    const options = { timeoutMs: 10_000 }
    await using machine = await ProcessMachine.start(
      { backend: 'namespace', hasKernel: false, start, describe: () => '' },
      options,
    )
    const { reason, error } = await machine.exited
    return reason === 'poweroff' ? { works: true, reason: '' } : { works: false, reason: String(error) }
  } catch (error) {
    const { message, path } = error as NodeJS.ErrnoException
    if (probe.isReady !== true || path?.startsWith(`${tmpdir()}/`) === true) {
      // No word about namespaces, and it may be mended: it is not remembered.
      found = undefined
      return { works: false, reason: `${tmpdir()}, where a guest is made ready, cannot be used (${message})` }
    }
    return { works: false, reason: explain(error as Error & { code?: string }) }
  } finally {
    if (probe.folder !== undefined) rmSync(probe.folder, { recursive: true, force: true })
  }
}

/** What there is of the folder of the guest that is tried. */
interface Probe {
  folder?: string
  isReady?: true
}

/** A folder with a program without a step, which exits with 0. */
async function probeFolder(probe: Probe): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'solo-namespace-probe-'))
  probe.folder = folder
  await chmod(folder, 0o755)
  await writeFile(join(folder, 'init'), staticProgram(new Program()), { mode: 0o755 })
  probe.isReady = true
  return folder
}

/** Settings that forbid what was tried, with their value that does, and what to say of it. */
const SETTINGS: readonly (readonly [file: string, value: string, words: string])[] = [
  [
    '/proc/sys/user/max_user_namespaces',
    '0',
    'user namespaces are switched off: `sysctl user.max_user_namespaces=10000` allows them',
  ],
  [
    '/proc/sys/kernel/unprivileged_userns_clone',
    '0',
    'user namespaces are for root only here: `sysctl kernel.unprivileged_userns_clone=1` allows them',
  ],
  [
    '/proc/sys/kernel/apparmor_restrict_unprivileged_userns',
    '1',
    'AppArmor takes the rights away that a user namespace gives (Ubuntu 23.10 and newer): ' +
      '`sysctl kernel.apparmor_restrict_unprivileged_userns=0` allows them',
  ],
]

function explain(error: Error & { code?: string }): string {
  const refused =
    error.code === 'EPERM' || error.code === 'EACCES' || /not permitted|EPERM|EACCES/.test(error.message)
  const full = /No space left|ENOSPC/.test(error.message)
  const setting = SETTINGS.find(([file, value]) => (refused || full) && textOf(file).trim() === value)
  if (setting) return `${setting[2]} (${error.message})`
  if (full) return `the limits in /proc/sys/user are reached (${error.message})`
  // Mode 2 is a filter (proc(5)); containers have one that refuses unshare(2) and mount(2).
  if (refused && /^Seccomp:\s*2$/m.test(textOf('/proc/self/status')))
    return `a seccomp filter, such as a container's, refuses it (${error.message})`
  return error.message
}

function textOf(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return ''
  }
}
