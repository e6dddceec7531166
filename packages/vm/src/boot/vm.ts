/** A booted guest: the machine from outside and its agent from inside, as one object. */
import { AgentClient, type GuestHello, type GuestProcess, type GuestSpawnOptions } from '../agent.ts'
import type { GuestConsole } from '../console.ts'
import { GuestEndedError, GuestHungError, MissingEndMarkError, type VmError } from '../errors.ts'
import { checkDurations } from '../limits/duration.ts'
import type { Backend, Machine, VmExit } from '../machine.ts'
import type { QemuMachine } from '../qemu.ts'
import { describeCpus } from '../qemu/registers.ts'
import { Heartbeat } from './heartbeat.ts'

/** What {@link Vm} is made of. */
export interface VmParts {
  /** The started machine. */
  readonly machine: Machine
  /** The same, when it is one of QEMU's. */
  readonly qemu: QemuMachine | undefined
  /** Whether the line to its agent must not run full. */
  readonly isPaced: boolean
  /** Whether there is an agent in it. */
  readonly hasAgent: boolean
  /** What a guest without the agent must have printed before it ends. */
  readonly endMark: RegExp | undefined
  /** How long the agent may be silent, in milliseconds. */
  readonly hangTimeoutMs: number
  /** How long a boot may take, in milliseconds. */
  readonly bootTimeoutMs: number
  /** Makes ready what is gone after each boot: shares, the view of the host's root. */
  readonly bringUp: (vm: Vm) => Promise<void>
  /** Path in the guest of the disk `name`. */
  readonly device: (vm: Vm, name: string) => Promise<string>
  /** Folder that programs get as their root; undefined: the guest's own. */
  readonly programRoot: string | undefined
}

/** How long {@link Vm.reboot} waits. */
export interface RebootOptions {
  /** Milliseconds. Default: as long as a boot may take. */
  readonly timeoutMs?: number
}

/**
 * A running guest. Programs, functions and files are the agent's business (the methods of `AgentClient`), power and
 * console the machine's. Dispose of it with `await using`: nothing of it is left then.
 */
export class Vm extends AgentClient implements Machine {
  /** The machine of QEMU, for what only it has: disks that come and go, cards, NMI, the debugger's port. */
  readonly qemu: QemuMachine | undefined
  readonly #parts: VmParts
  readonly #exited: Promise<VmExit>
  readonly #heartbeat: Heartbeat | undefined
  #resumeHeart: (() => void) | undefined
  #failure: VmError | undefined
  #hasMarked = false
  #met = false

  /** Made by `boot`. */
  constructor(parts: VmParts) {
    super({ console: parts.machine.console, isPaced: parts.isPaced })
    this.#parts = parts
    this.qemu = parts.qemu
    if (parts.endMark !== undefined) void this.#watchEndMark(parts.endMark)
    this.#exited = this.#awaitEnd()
    if (!parts.hasAgent) {
      this.end(new GuestEndedError('this guest has no agent: it is driven by its console'))
      return
    }
    this.#heartbeat = new Heartbeat({
      ping: () => this.probe(),
      hangTimeoutMs: parts.hangTimeoutMs,
      onHang: () => void this.#hang(),
    })
    // A boot has its own limit, and nobody answers before it is over.
    void this.hello({ timeoutMs: parts.bootTimeoutMs }).then(this.#heartbeat.suspend(), () => {})
  }

  /** What it runs in. */
  get backend(): Backend {
    return this.#parts.machine.backend
  }

  /** The host's process that is the guest. */
  get pid(): number {
    return this.#parts.machine.pid
  }

  /** The guest's first console. */
  get console(): GuestConsole {
    return this.#parts.machine.console
  }

  /** What runs QEMU's guest: `kvm` or `tcg`. */
  get accelerator(): string | undefined {
    return this.qemu?.accelerator
  }

  /** The debugger's port, when there is one. */
  get gdb(): QemuMachine['gdb'] {
    return this.qemu?.gdb
  }

  /** Forwarded ports, with the host ports that were really taken. */
  get forwards(): QemuMachine['forwards'] {
    return this.qemu?.forwards ?? []
  }

  /** The guest's end, judged: see `Machine.exited`. */
  get exited(): Promise<VmExit> {
    this.#met = true
    return this.#exited
  }

  /** Path in the guest of the disk `name`; waits until the guest has found it. */
  device(name: string): Promise<string> {
    return this.#parts.device(this, name)
  }

  /** As `AgentClient.spawn`; with `root: 'host'` of `boot` the program sees the host's files. */
  override spawn(
    file: string,
    args: readonly string[] = [],
    options: GuestSpawnOptions = {},
  ): Promise<GuestProcess> {
    const { programRoot } = this.#parts
    const place = options.root === undefined && programRoot !== undefined ? { root: programRoot } : {}
    return super.spawn(file, args, { ...place, ...options })
  }

  /** Switches the guest off in order, and waits until nothing of it is left. @throws the error of another end */
  async poweroff(): Promise<VmExit> {
    this.#heartbeat?.stop()
    await this.shutdown('poweroff')
    return this.waitForPoweroff()
  }

  /**
   * Reboots the guest in order; resolves when its agent is there again.
   *
   * @throws `GuestCallTimeoutError` it was not there in time; RangeError a limit that is no time; the error of an end
   */
  async reboot(options: RebootOptions = {}): Promise<GuestHello> {
    checkDurations(options, ['timeoutMs'])
    return this.#throughBoot(() => this.shutdown('reboot'), options)
  }

  /** Presses the reset button: the guest starts anew without a word to what ran in it. */
  async reset(): Promise<void> {
    if (this.#parts.hasAgent) await this.#throughBoot(() => this.#parts.machine.reset(), {})
    else await this.#parts.machine.reset()
  }

  /** As `Machine.waitForPoweroff`. */
  async waitForPoweroff(): Promise<VmExit> {
    const exit = await this.exited
    if (exit.error) throw exit.error
    return exit
  }

  /** Cuts the power. */
  async kill(): Promise<VmExit> {
    this.#heartbeat?.stop()
    await this.#parts.machine.kill()
    return this.#exited
  }

  /** Stops the guest's processors. */
  async pause(): Promise<void> {
    this.#resumeHeart ??= this.#heartbeat?.suspend()
    await this.#parts.machine.pause()
  }

  /** Lets a paused guest go on. */
  async resume(): Promise<void> {
    await this.#parts.machine.resume()
    this.#resumeHeart?.()
    this.#resumeHeart = undefined
  }

  /** Presses the power button, where there is one. */
  powerdown(): Promise<void> {
    return this.#parts.machine.powerdown()
  }

  /** As `Machine`'s: a panic, a hang or another bad end that nobody has met is thrown. */
  async [Symbol.asyncDispose](): Promise<void> {
    const { error, reason } = await this.kill()
    if (error && !this.#met && !this.errorMet && reason !== 'killed' && reason !== 'reboot') throw error
  }

  async #throughBoot(begin: () => Promise<void>, options: RebootOptions): Promise<GuestHello> {
    const resumeHeart = this.#heartbeat?.suspend()
    try {
      const next = this.nextHello({ timeoutMs: options.timeoutMs ?? this.#parts.bootTimeoutMs })
      // Together: a guest that is paused never begins, and still has its time.
      const [hello] = await Promise.all([next, begin()])
      await this.#parts.bringUp(this)
      return hello
    } finally {
      resumeHeart?.()
    }
  }

  async #watchEndMark(pattern: RegExp): Promise<void> {
    try {
      await this.console.waitFor(pattern, { timeoutMs: Infinity })
      this.#hasMarked = true
    } catch {
      // The guest has ended without it: #judge says so.
    }
  }

  async #awaitEnd(): Promise<VmExit> {
    const exit = this.#judge(await this.#parts.machine.exited)
    this.#heartbeat?.stop()
    const tail = this.console.tail()
    super.end(exit.error ?? new GuestEndedError('the guest has powered itself off', tail))
    return exit
  }

  #judge(exit: VmExit): VmExit {
    const { hasAgent, endMark } = this.#parts
    if (this.#failure) return { ...exit, reason: 'timeout', error: this.#failure }
    // Of a program that was given as init, the status is the result, though its kernel panics at every end of init.
    const isDone = !hasAgent && exit.reason === 'panic' && exit.init?.code === 0
    const { error: _error, ...withoutError } = exit
    const judged: VmExit = isDone ? { ...withoutError, reason: 'poweroff' } : exit
    const lacksMark = hasAgent ? !this.ended : endMark !== undefined && !this.#hasMarked
    if (judged.reason !== 'poweroff' || !lacksMark) return judged
    const said = hasAgent ? 'its agent said that all is done' : `it had printed ${String(endMark)}`
    return {
      ...judged,
      error: new MissingEndMarkError(`the guest switched itself off before ${said}`, this.console.tail()),
    }
  }

  async #hang(): Promise<void> {
    const { hangTimeoutMs, machine } = this.#parts
    const registers = this.qemu?.qmp.humanMonitor('info registers -a', { timeoutMs: 1_000 })
    const state = describeCpus((await registers?.catch(() => '')) ?? '')
    this.#failure ??= new GuestHungError(hangTimeoutMs, state, this.console.tail())
    await machine.kill()
  }
}
