// A program in a machine of its own: start, attach, carry the status, leave nothing.
import type { KillOptions } from '../agent/process.ts'
import type { BootOptions } from '../boot/options.ts'
import { attach, type GuestProgram, type HostStreams } from './attach.ts'
import { programEnvironment } from './environment.ts'
import { announce, errorText, tell, tellConsole } from './output.ts'
import type { Flags, Plan } from './plan.ts'
import { type ForwardedSignal, takeSignals } from './signals.ts'
import { machineStatus, programStatus, signalStatus, spawnStatus } from './status.ts'
import { takeTerminal, type TerminalInput, type TerminalOutput, terminalSize } from './terminal.ts'

/** A program in the machine that can be sent signals. */
export interface RunningProgram extends GuestProgram {
  kill(signal: ForwardedSignal | 'SIGPIPE', options?: KillOptions): Promise<void> | void
  resize(columns: number, rows: number): Promise<void> | void
}

/** How a program is to be started. */
export interface ProgramOptions {
  readonly cwd: string
  readonly env: Record<string, string>
  readonly tty?: { columns: number; rows: number }
}

/** What the command needs of a machine. */
export interface CommandVm {
  /** Says in a few words what it is, such as `qemu (kvm), Linux 6.1.0-31-amd64`. */
  describe(): string
  /** Path in the machine of each disk, by name. */
  readonly disks: Readonly<Record<string, string>>
  /** The forwarded ports, as they were really taken. */
  readonly forwards: readonly { readonly hostPort: number; readonly guestPort: number }[]
  spawn(file: string, args: readonly string[], options: ProgramOptions): Promise<RunningProgram>
  /** Has all that was written reach its disks and folders, and switches the machine off. */
  finish(): Promise<void>
  /** Cuts the power. */
  kill(): Promise<unknown>
}

/** Starts a machine. */
export type StartVm = (options: BootOptions) => Promise<CommandVm>

/** Our standard streams; terminals where they are. */
export interface OwnStreams extends HostStreams {
  readonly stdin: HostStreams['stdin'] & Partial<TerminalInput>
  readonly stdout: HostStreams['stdout'] & TerminalOutput
}

/**
 * Runs the plan's program in a machine of its own and returns the exit status of the command. Whatever fails is
 * told on standard error.
 */
export async function run(start: StartVm, plan: Plan, flags: Flags, streams: OwnStreams): Promise<number> {
  const session = new Session(plan, flags, streams)
  using _signals = takeSignals(session)
  // Awaited here: the signals are ours until the end.
  return await session.run(start)
}

/** What a terminal sends, it sends to everybody in the foreground; what kill(1) sends is for one. */
const FROM_TERMINAL: ReadonlySet<string> = new Set(['SIGINT', 'SIGQUIT', 'SIGHUP'])

/** What stops the machine while it starts. */
class Interrupted extends Error {}

class Session {
  readonly #plan: Plan
  readonly #flags: Flags
  readonly #streams: OwnStreams
  readonly #abort = new AbortController()
  #vm: CommandVm | undefined
  #program: RunningProgram | undefined
  #killedBy: ForwardedSignal | undefined

  constructor(plan: Plan, flags: Flags, streams: OwnStreams) {
    this.#plan = plan
    this.#flags = flags
    this.#streams = streams
  }

  readonly forward = (signal: ForwardedSignal): boolean => {
    if (this.#program === undefined) return false
    void this.#ignoringEnd(this.#program.kill(signal, { group: FROM_TERMINAL.has(signal) }))
    return true
  }

  readonly kill = (signal: ForwardedSignal): void => {
    this.#killedBy = signal
    this.#abort.abort(new Interrupted(`ended by ${signal}`))
    void this.#ignoringEnd(this.#vm?.kill())
  }

  async run(start: StartVm): Promise<number> {
    try {
      this.#vm = await this.#start(start)
      const status = await this.#runIn(this.#vm)
      if (this.#killedBy === undefined) await this.#vm.finish()
      return this.#killedBy === undefined ? status : signalStatus(this.#killedBy)
    } catch (error) {
      if (this.#killedBy !== undefined) return signalStatus(this.#killedBy)
      tell(errorText(error, this.#flags.verbose))
      return machineStatus(error)
    } finally {
      await this.#ignoringEnd(this.#vm?.kill())
    }
  }

  async #start(start: StartVm): Promise<CommandVm> {
    const startedMs = performance.now()
    const { verbose } = this.#flags
    let arrived = announce('making the machine ready', verbose)
    try {
      const vm = await start({
        ...this.#plan.boot,
        signal: this.#abort.signal,
        onProgress: (step) => {
          arrived()
          arrived = announce(step, verbose)
        },
        // Told before the machine is up: it may wait for the debugger.
        onGdb: ({ port }) => tell(debuggerHint(port)),
        ...(this.#flags.console ? { onConsole: tellConsole } : {}),
      })
      if (verbose) this.#introduce(vm, performance.now() - startedMs)
      return vm
    } finally {
      arrived()
    }
  }

  #introduce(vm: CommandVm, startMs: number): void {
    tell(`${vm.describe()}, ready after ${(startMs / 1000).toFixed(2)} s`)
    for (const { hostPort, guestPort } of vm.forwards)
      tell(`127.0.0.1:${hostPort} leads to port ${guestPort}`)
    for (const [name, path] of Object.entries(vm.disks)) tell(`${name} is ${path}`)
  }

  async #runIn(vm: CommandVm): Promise<number> {
    const { file, args, folder, tty } = this.#plan
    const env = programEnvironment(process.env, this.#flags.env ?? [], tty)
    for (const [name, path] of Object.entries(vm.disks)) env[diskVariable(name)] = path
    try {
      this.#program = await vm.spawn(file, args, {
        cwd: folder,
        env,
        ...(tty ? { tty: terminalSize(this.#streams.stdout) } : {}),
      })
    } catch (error) {
      if (this.#killedBy === undefined) tell(errorText(error, this.#flags.verbose))
      return spawnStatus(error)
    }
    // What it left in the background may go on writing: signals are not for the program any more.
    const over = (): void => void (this.#program = undefined)
    this.#program.exited.then(over, over)
    return programStatus(await this.#attach(this.#program))
  }

  async #attach(program: RunningProgram): ReturnType<typeof attach> {
    const { stdin, stdout } = this.#streams
    if (!this.#plan.tty || !isTerminalInput(stdin)) return attach(program, this.#streams)
    using _terminal = takeTerminal(stdin, stdout, ({ columns, rows }) => {
      void this.#ignoringEnd(program.resize(columns, rows))
    })
    return await attach(program, this.#streams, { onEscape: () => this.kill('SIGQUIT') })
  }

  /** A machine that has ended while it was told something is told of elsewhere. */
  async #ignoringEnd(result: Promise<unknown> | undefined | void): Promise<void> {
    try {
      await result
    } catch {
      // See above.
    }
  }
}

/** `disk0` → `SOLO_DISK0`: how a program learns where its disks are. */
function diskVariable(name: string): string {
  return `SOLO_${name.toUpperCase().replaceAll('-', '_')}`
}

function debuggerHint(port: number): string {
  return `a debugger can attach: gdb vmlinux -ex 'target remote 127.0.0.1:${port}'`
}

function isTerminalInput(stdin: OwnStreams['stdin']): stdin is OwnStreams['stdin'] & TerminalInput {
  return typeof stdin.setRawMode === 'function'
}
