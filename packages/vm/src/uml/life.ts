/**
 * One life of a User Mode Linux guest. The kernel is a process that traces others, which are the guest's programs:
 * they all live in a pid namespace of their own, so that not one of them can be left behind.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { closeSync, ftruncateSync, mkdirSync, openSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import type { Duplex } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import { Program, vector } from '@pkg/sys/program'
import { UnsupportedError, VmError } from '../errors.ts'
import { deferred } from '../host/deferred.ts'
import type { Life, LifeEnd } from '../process-machine/process-machine.ts'
import { childrenOf, descendantsOf, signal, stateOf } from '../process-machine/process-tree.ts'
import { staticProgram } from '../process-machine/static-program.ts'
import { workFolder } from '../process-machine/work-folder.ts'
import { guarded } from '../qemu/launch.ts'
import { UmlCrashedError } from './errors.ts'
import { initProgram, MOUNT_POINTS } from './init-program.ts'
import type { UmlPlan } from './options.ts'
import type { UmlDisk } from './types.ts'

/** What a life needs besides the plan. */
export interface UmlLifeOptions {
  onConsole: (bytes: Uint8Array) => void
  onControl: ((control: Duplex) => void) | undefined
}

/** The descriptor of the kernel's serial line. */
const CONTROL_FD = 3

/** Exit status that stands for a reboot. Of sysexits.h (EX_TEMPFAIL: try again), and none of the kernel's own. */
const REBOOT_STATUS = 75

/** 128 + SIGABRT, as the shell gives it: the kernel ends so after a panic. */
const ABORTED_STATUS = 134

/** What the streams may take to drain after the last process is gone. */
const DRAIN_MS = 500

/** The kernel of the host ends what is left of a pid namespace within milliseconds after its init. */
const LEFTOVERS_MS = 2_000

/**
 * Starts a life, and resolves when its process runs (the kernel has not printed anything yet).
 *
 * @throws {@link VmError} it could not be started
 */
export async function startUmlLife(plan: UmlPlan, options: UmlLifeOptions): Promise<UmlLife> {
  const work = workFolder()
  try {
    const command = guarded('unshare', [
      ...namespaceArguments(),
      '/bin/sh',
      '-c',
      WAIT,
      'sh',
      prepare(plan, work),
    ])
    const child = spawn(command.file, command.args, {
      stdio: ['pipe', 'pipe', 'pipe', plan.control ? 'pipe' : 'ignore'],
      detached: true,
      // Without TMPDIR the guest's memory is a file (unlinked at once) in /dev/shm, where that is a tmpfs.
      env: { PATH: process.env['PATH'] ?? '/usr/bin:/bin' },
    })
    const started = deferred<void>()
    child.once('spawn', started.resolve)
    child.once('error', started.reject)
    await started.promise
    return new UmlLife(child, options, work)
  } catch (cause) {
    rmSync(work, { recursive: true, force: true })
    if (cause instanceof VmError) throw cause
    throw new VmError(`${plan.uml}: ${(cause as Error).message}`, '', cause)
  }
}

/** The shell is the namespace's init: to the kernel, as an init, abort(3) and other signals would not be the end. */
const WAIT = '"$1"; exit $?'

/** What the shell says of a kernel that a signal ended, last of all; the exit status tells the same. */
const SHELLS_WORD = /^(?:Aborted|Killed|Terminated|Segmentation fault)(?: \(core dumped\))?\s*$/m

/**
 * Only root may make a pid namespace without one of users; with one, we are in it who we are outside. The namespaces
 * of mounts, host name and IPC are for the moment in which a kernel that was killed (by the host's, for memory) has
 * let go of the processes it traced: they are the host's then, until the end of the pid namespace ends them.
 */
export function namespaceArguments(): string[] {
  const users = process.geteuid?.() === 0 ? [] : ['--user', '--map-current-user']
  return [...users, '--mount', '--uts', '--ipc', '--pid', '--fork', '--kill-child', '--']
}

/** Writes what the kernel needs into the folder `work`, and gives the program that becomes the kernel. */
function prepare(plan: UmlPlan, work: string): string {
  const root = join(work, 'root')
  for (const name of ['', ...MOUNT_POINTS]) mkdirSync(join(root, name))
  writeFileSync(join(root, 'init'), staticProgram(initProgram(plan.init)), { mode: 0o755 })
  // At a reboot the kernel executes what its argv[0] names: this instead of itself, so that we hear of it.
  const reboot = join(work, 'reboot')
  const exit = new Program()
  exit.call('exit_group', REBOOT_STATUS)
  writeFileSync(reboot, staticProgram(exit), { mode: 0o755 })
  const disks = plan.disks.map((disk, index) => diskWord(work, disk, index))
  const words = [
    `mem=${plan.memoryMiB}M`,
    ...['root=/dev/root', 'rootfstype=hostfs', `rootflags=${root}`, 'ro', 'init=/init', 'quiet'],
    `initcall_blacklist=${unwantedSteps(plan).join(',')}`,
    // 512 devices of BSD's pseudo terminals, for each of which a program would be started: 0.2 s.
    'pty.legacy_count=0',
    ...['con=null', 'con0=fd:0,fd:1', 'ssl=null'],
    ...(plan.control ? [`ssl0=fd:${CONTROL_FD}`] : []),
    ...[`uml_dir=${work}/`, 'umid=guest'],
    ...disks,
    ...plan.append.split(' ').filter((word) => word !== ''),
  ]
  const launch = new Program()
  launch.call('execve', plan.uml, vector([reboot, ...words]), vector(['PATH=/usr/bin:/bin', 'HOME=/']))
  const file = join(work, 'launch')
  writeFileSync(file, staticProgram(launch), { mode: 0o755 })
  return file
}

/** Steps of the kernel's start that are left out. */
function unwantedSteps({ raid6 }: UmlPlan): string[] {
  // Half a second of asking for a cipher's module, for a checksum of disks that this machine cannot have; and the
  // measuring of `raid6`.
  return ['crc64_rocksoft_mod_init', ...(raid6 ? [] : ['raid6_select_algo'])]
}

/** `ubda=FILE`, `ubdar=FILE` or `ubda=COW,FILE`, by names of ours: a comma in the caller's would be a separator. */
function diskWord(work: string, { file, sizeBytes, access = 'rw' }: UmlDisk, index: number): string {
  const name = `ubd${String.fromCharCode(97 + index)}`
  const path = join(work, name)
  if (file !== undefined) symlinkSync(resolve(file), path)
  else {
    const descriptor = openSync(path, 'wx', 0o600)
    ftruncateSync(descriptor, Math.ceil((sizeBytes ?? 0) / 512) * 512)
    closeSync(descriptor)
  }
  if (access === 'cow') return `${name}=${path}.cow,${path}`
  return access === 'ro' ? `${name}r=${path}` : `${name}=${path}`
}

/** A User Mode Linux guest from its process's start to its end. */
export class UmlLife implements Life {
  readonly pid: number
  readonly ended: Promise<LifeEnd>
  readonly #child: ChildProcess
  readonly #work: string
  #stderr = ''
  #initPid: number | undefined
  #killed = false
  /** Its processes have been reaped: their ids may be others'. */
  #gone = false

  constructor(child: ChildProcess, options: UmlLifeOptions, work: string) {
    this.#child = child
    this.#work = work
    this.pid = child.pid ?? 0
    child.stdout?.on('data', options.onConsole)
    child.stderr?.on('data', (bytes: Uint8Array) => {
      this.#stderr = (this.#stderr + new TextDecoder().decode(bytes)).slice(-65_536)
    })
    const control = child.stdio[CONTROL_FD] as Duplex | null | undefined
    // Closed ends are told by the process's exit; here an EPIPE is no news.
    for (const stream of [child.stdin, control]) stream?.on('error', () => {})
    this.ended = this.#awaitEnd()
    if (control) options.onControl?.(control)
  }

  kill(): void {
    if (this.#gone) return
    this.#killed = true
    signal(this.#init ?? this.pid, 'SIGKILL')
  }

  stop(): number[] {
    // The kernel alone: the processes that it traces do not get far without it, and a SIGSTOP of theirs would be
    // news to it.
    const kernel = childrenOf(this.#init ?? 0).slice(0, 1)
    for (const pid of kernel) signal(pid, 'SIGSTOP')
    return kernel
  }

  write(text: string): void {
    this.#child.stdin?.write(text)
  }

  powerdown(): void {
    const reason = 'User Mode Linux has no power button: let the agent shut it down'
    throw new UnsupportedError([{ backend: 'uml', feature: 'powerdown', reason }])
  }

  /** What the guest's kernel is doing, in a few words. */
  describe(): string {
    const [kernel] = childrenOf(this.#init ?? 0)
    if (kernel === undefined) return ''
    const state = stateOf(kernel) === 'R' ? 'runs' : 'sleeps'
    return `the kernel ${state}, with ${descendantsOf(kernel).length} processes of the host`
  }

  /** The namespace's init. `unshare` makes it some milliseconds after its own start. */
  get #init(): number | undefined {
    this.#initPid ??= childrenOf(this.pid)[0]
    return this.#initPid
  }

  async #awaitEnd(): Promise<LifeEnd> {
    const ended = deferred<[number | null, string | null]>()
    const { stdin, stdout, stderr, stdio } = this.#child
    const drained = Promise.all(
      [stdout, stderr].map((stream) => new Promise((done) => stream?.once('close', done))),
    )
    this.#child.once('exit', (code, name) => ended.resolve([code, name]))
    const [code, name] = await ended.promise
    await this.#awaitLeftovers()
    this.#gone = true
    await Promise.race([drained, delay(DRAIN_MS)])
    for (const stream of [stdin, stdout, stderr, stdio[CONTROL_FD]]) stream?.destroy()
    rmSync(this.#work, { recursive: true, force: true })
    this.#stderr = this.#stderr.replace(SHELLS_WORD, '')
    return { code, signal: name, stderr: this.#stderr, ...this.#judge(code, name) }
  }

  async #awaitLeftovers(): Promise<void> {
    const deadlineMs = performance.now() + LEFTOVERS_MS
    const pid = this.#initPid
    while (pid !== undefined && stateOf(pid) !== undefined && performance.now() < deadlineMs) {
      signal(pid, 'SIGKILL')
      await delay(1)
    }
  }

  #judge(code: number | null, name: string | null): Pick<LifeEnd, 'reason' | 'error'> {
    if (code === REBOOT_STATUS) return { reason: 'reboot' }
    if (code === 0) return { reason: 'poweroff' }
    // 137: the shell says that a SIGKILL ended the kernel; `unshare` cannot say so of the shell (see namespaces).
    const killed = name === 'SIGKILL' || name === 'SIGTERM' || code === 137 || code === 143
    if (killed || this.#killed) return { reason: 'killed' }
    const how = name ?? (code === ABORTED_STATUS ? 'SIGABRT' : `exit status ${code}`)
    return { reason: 'crashed', error: (tail) => new UmlCrashedError(how, this.#stderr, tail) }
  }
}
