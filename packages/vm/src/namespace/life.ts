/** One life of a namespace guest: `unshare`, the setup program as its child, and then the guest's PID 1 in its place. */
import { spawn, type ChildProcess } from 'node:child_process'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Duplex } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import { getSystemErrorName } from 'node:util'
import { SIGKILL } from '@pkg/sys/constants'
import { GuestPanicError, VmError } from '../errors.ts'
import { deferred } from '../host/deferred.ts'
import type { ProcessEnd } from '../machine.ts'
import { FAILED, setupErrno } from '../process-machine/setup-program.ts'
import type { Life, LifeEnd } from '../process-machine/process-machine.ts'
import { childrenOf, signal, stateOf, stopTree } from '../process-machine/process-tree.ts'
import { signalNumber } from '../process-machine/signals.ts'
import { staticProgram } from '../process-machine/static-program.ts'
import { workFolder } from '../process-machine/work-folder.ts'
import { findProgram } from '../host/find-program.ts'
import { guarded } from '../qemu/launch.ts'
import type { Plan } from './options.ts'
import { setupProgram, WORDS } from './setup.ts'
import { Terminal } from './terminal.ts'
import { writeUserMaps } from './user-map.ts'

/** The namespaces did not come to be; the reason is in the message. */
export class NamespaceStartError extends VmError {
  override name = 'NamespaceStartError'
  /** The kernel's error where there was one: `EPERM`, `ENOSPC`, … */
  readonly code: string | undefined

  constructor(message: string, code?: string) {
    super(message)
    this.code = code
  }
}

/** PID 1 of a namespace guest failed, for which a kernel of its own would have panicked. */
export class InitFailedError extends GuestPanicError {
  override name = 'InitFailedError'
  /** How it ended. */
  readonly init: ProcessEnd

  constructor(init: ProcessEnd, consoleTail: string) {
    super('Attempted to kill init!', consoleTail)
    const how = init.signal === null ? `exit status ${init.code}` : `signal ${init.signal}`
    // A namespace guest has no kernel that could panic.
    this.message = new VmError(`the guest's PID 1 ended with ${how}`, consoleTail).message
    this.init = init
  }
}

/** What a life needs besides the plan. */
export interface LifeOptions {
  onConsole: (bytes: Uint8Array) => void
  onControl: ((control: Duplex) => void) | undefined
  powerdownSignal: NodeJS.Signals
}

const NAMESPACES = ['--user', '--mount', '--pid', '--net', '--uts', '--ipc', '--cgroup']

/** What the console may take to drain when every process of the guest is gone: `cat` needs a turn, under load more. */
const DRAIN_MS = 1_000

/** Started in 20 ms; the rest is for machines that swap. */
const START_MS = 30_000

/** The kernel ends what is left of a pid namespace within milliseconds after its init. */
const LEFTOVERS_MS = 2_000

/**
 * Starts a life, and resolves when PID 1 is being executed.
 *
 * @throws {@link NamespaceStartError} it could not be started; nothing of it is left
 */
export async function startLife(plan: Plan, options: LifeOptions): Promise<NamespaceLife> {
  const unshare = findProgram('unshare')
  if (unshare === undefined)
    throw new NamespaceStartError(
      'unshare was not found in PATH: install util-linux (apt install util-linux)',
    )
  const work = workFolder()
  try {
    const terminal = new Terminal(options.onConsole)
    const setup = join(work, 'setup')
    const newRoot = join(work, 'root')
    mkdirSync(newRoot)
    const program = setupProgram({ ...plan, workFolder: newRoot, terminal: terminal.path })
    writeFileSync(setup, staticProgram(program), { mode: 0o755 })
    const args = [...NAMESPACES, '--keep-caps', '--fork', '--kill-child', '--', setup]
    const command = guarded(unshare, args)
    const control = plan.control ? 'pipe' : 'ignore'
    const child = spawn(command.file, command.args, {
      stdio: ['ignore', 'ignore', 'pipe', control, 'pipe', terminal.masterFd],
      // Ctrl-C at our terminal is for us alone: the guest can then be powered off in order.
      detached: true,
    })
    const life = new NamespaceLife(child, terminal, options)
    await life.started
    return life
  } finally {
    // The guest has left the folder (its mount went with the host's root), or is gone.
    rmSync(work, { recursive: true, force: true })
  }
}

/** A namespace guest from `unshare` to its end. */
export class NamespaceLife implements Life {
  readonly pid: number
  /** Resolves when PID 1 is being executed. */
  readonly started: Promise<void>
  readonly ended: Promise<LifeEnd>
  readonly #child: ChildProcess
  readonly #terminal: Terminal
  readonly #options: LifeOptions
  readonly #started = deferred<void>()
  #initPid: number | undefined
  #words = ''
  #stderr = ''
  #running = false
  #killed = false
  /** Its processes have been reaped: their ids may be others'. */
  #gone = false

  constructor(child: ChildProcess, terminal: Terminal, options: LifeOptions) {
    this.#child = child
    this.#terminal = terminal
    this.#options = options
    this.pid = child.pid ?? 0
    this.started = this.#started.promise
    child.stderr?.on('data', (bytes: Uint8Array) => {
      this.#stderr = (this.#stderr + new TextDecoder().decode(bytes)).slice(-65_536)
    })
    const sync = child.stdio[4] as Duplex
    sync.on('error', () => {})
    sync.on('data', (bytes: Uint8Array) => this.#hear(new TextDecoder().decode(bytes), sync))
    const timer = setTimeout(() => this.kill(), START_MS)
    const settled = (): void => clearTimeout(timer)
    this.started.then(settled, settled)
    this.ended = this.#awaitEnd()
  }

  /** PID 1 of the guest, by the host's number; undefined before it is there. */
  get initPid(): number | undefined {
    return this.#initPid
  }

  kill(): void {
    if (this.#gone) return
    this.#killed = true
    // With PID 1 the kernel ends all others first, and `unshare` sees its end: then nothing is left. Without it
    // `unshare` takes its child along (--kill-child).
    signal(this.#initPid ?? this.pid, 'SIGKILL')
  }

  stop(): number[] {
    return stopTree(this.pid)
  }

  write(text: string): void {
    this.#terminal.write(text)
  }

  powerdown(): void {
    if (this.#initPid !== undefined && !this.#gone) signal(this.#initPid, this.#options.powerdownSignal)
  }

  #hear(text: string, sync: Duplex): void {
    const had = this.#words
    this.#words += text
    const isNew = (word: string): boolean => !had.includes(word) && this.#words.includes(word)
    if (isNew(WORDS.mapUsers)) this.#mapUsers(sync)
    if (isNew(WORDS.noOverlay)) this.#options.onConsole(new TextEncoder().encode(NO_OVERLAY))
    if (!isNew(WORDS.started)) return
    this.#running = true
    const control = this.#child.stdio[3] as Duplex | null | undefined
    // Its end is told by the end of the guest.
    control?.on('error', () => {})
    if (control) this.#options.onControl?.(control)
    this.#started.resolve()
  }

  #mapUsers(sync: Duplex): void {
    this.#initPid = childrenOf(this.pid)[0]
    try {
      if (this.#initPid === undefined) throw new Error('the new process is not to be seen in /proc')
      writeUserMaps(this.#initPid)
      sync.write('\n')
    } catch (cause) {
      this.#words += `${FAILED}map users: ${(cause as Error).message}\n`
      this.kill()
    }
  }

  async #awaitEnd(): Promise<LifeEnd> {
    const ended = deferred<[number | null, string | null]>()
    this.#child.once('exit', (code, name) => ended.resolve([code, name]))
    this.#child.once('error', (cause) => {
      this.#words += `${FAILED}${cause.message}\n`
      ended.resolve([null, null])
    })
    const [code, name] = await ended.promise
    await this.#awaitInit()
    this.#gone = true
    await this.#terminal.end(DRAIN_MS)
    for (const stream of [this.#child.stderr, this.#child.stdio[3], this.#child.stdio[4]]) stream?.destroy()
    const failed = this.#words.includes(FAILED)
    if (!this.#running || failed) {
      const error = this.#startError(code, name)
      this.#started.reject(error)
      return {
        reason: this.#killed ? 'killed' : 'crashed',
        code,
        signal: name,
        stderr: this.#stderr,
        error: () => error,
      }
    }
    return { code, signal: name, stderr: this.#stderr, ...judge(code, name, this.#stderr) }
  }

  /** Somebody may have killed `unshare`; its child follows it, and this is where we see it. */
  async #awaitInit(): Promise<void> {
    const { pid, deadlineMs } = { pid: this.#initPid, deadlineMs: performance.now() + LEFTOVERS_MS }
    while (pid !== undefined && stateOf(pid) !== undefined && performance.now() < deadlineMs) {
      signal(pid, 'SIGKILL')
      await delay(1)
    }
  }

  #startError(code: number | null, name: string | null): NamespaceStartError {
    const words = new RegExp(`${FAILED}(.*)`).exec(this.#words)?.[1]
    const errno = words !== undefined && code !== null && code > 128 ? setupErrno(code) : undefined
    const errorName = errno === undefined ? undefined : getSystemErrorName(-errno)
    const unshareWords = this.#stderr.trim().split('\n')[0] ?? ''
    if (words !== undefined)
      return new NamespaceStartError(
        `the guest did not start: ${words}${errorName === undefined ? '' : `: ${errorName}`}`,
        errorName,
      )
    const refused = /Operation not permitted/.test(unshareWords) ? 'EPERM' : undefined
    const how = unshareWords === '' ? (name ?? `exit status ${code}`) : unshareWords
    return new NamespaceStartError(`the guest did not start: ${how}`, refused)
  }
}

const NO_OVERLAY =
  'solo: the kernel refuses an overlay here: what is in the root folder cannot be changed\r\n'

/**
 * What the end of `unshare` means, which ends as its child did. reboot(2) in a pid namespace ends its init by SIGHUP
 * (restart) or SIGINT (halt and power-off), which nothing else can do to an init that does not handle them
 * (pid_namespaces(7), reboot(2)). As with containers, an init that exits with 0 has done its work.
 */
function judge(
  code: number | null,
  name: string | null,
  unshareWords: string,
): Pick<LifeEnd, 'reason' | 'init' | 'error'> {
  const init = { code, signal: signalNumber(name) }
  if (name === 'SIGHUP') return { reason: 'reboot', init }
  if (name === 'SIGINT') return { reason: 'poweroff', init }
  if (name === 'SIGKILL' || name === 'SIGTERM') return { reason: 'killed' }
  // util-linux 2.38 cannot die of a SIGKILL as its child did, and says so (`unshare: signal failed`) with status 1.
  if (code === 1 && unshareWords !== '') return { reason: 'killed', init: { code: null, signal: SIGKILL } }
  if (code === 0) return { reason: 'poweroff', init }
  return { reason: 'panic', init, error: (tail) => new InitFailedError(init, tail) }
}
