/** A running QEMU: its streams, and what can be done to the guest from outside. */
import type { Duplex } from 'node:stream'
import { GuestEndedError, UnsupportedError } from '../errors.ts'
import type { GuestConsole } from '../console.ts'
import { deferred } from '../host/deferred.ts'
import type { Accelerator } from '../kvm.ts'
import { GuestWatch } from '../limits/watch.ts'
import { QmpClient, type QmpEvent, type ShutdownCause } from '../qmp.ts'
import type { CommandLine } from './command-line.ts'
import { checkDisk, openDisk } from './disks.ts'
import { judgeEnd } from './ending.ts'
import type { Launched } from './launch.ts'
import { Card } from './networks.ts'
import type { ResolvedOptions } from './options.ts'
import { describeCpus } from './registers.ts'
import type { Disk, DiskOptions, Forward, GdbServer, QemuMachine, VmExit } from './types.ts'

/** What the streams may take to drain after QEMU is gone; they end at once, unless a child of QEMU holds one. */
const DRAIN_MS = 500

/** Time for what QEMU has written already to be read: a turn of the event loop, with room. */
const SETTLE_MS = 20

/** How much of QEMU's standard error is kept. */
const STDERR_CHARS = 65_536

/** A QEMU process as {@link QemuMachine}. Created by `startQemu` only. */
export class QemuGuest implements QemuMachine {
  readonly backend = 'qemu'
  readonly pid: number
  readonly accelerator: Accelerator
  readonly console: GuestConsole
  readonly qmp: QmpClient
  readonly networks: readonly Card[]
  /** What the guest sees of its machine; see {@link CommandLine.hardware}. */
  readonly hardware: readonly string[]
  /** The options, with every default in its place. */
  readonly options: ResolvedOptions
  version = ''
  gdb: GdbServer | undefined
  readonly #launched: Launched
  readonly #watch: GuestWatch
  readonly #ended: Promise<VmExit>
  readonly #disks: Disk[] = []
  #stderr = ''
  #shutdownCause: unknown
  #guestPanicked = false
  /** The console's position at the last reset. */
  #resetPosition: number | undefined
  #rebootsUntilOutput = false
  #met = false

  constructor(launched: Launched, options: ResolvedOptions, accelerator: Accelerator, line: CommandLine) {
    this.#launched = launched
    this.options = options
    this.hardware = line.hardware
    this.pid = launched.pid
    this.accelerator = accelerator
    // The console is the first socket.
    const [serial] = launched.sockets as [Duplex]
    this.#watch = new GuestWatch({
      ...options,
      write: (text) => void serial.write(text),
      kill: this.#kill,
      describe: async () =>
        describeCpus(await this.qmp.humanMonitor('info registers -a', { timeoutMs: 1_000 }).catch(() => '')),
    })
    this.console = this.#watch.console
    serial.on('data', (bytes: Uint8Array) => this.#receive(bytes))
    // Closed ends are told by the process's exit; here an EPIPE is no news.
    for (const socket of launched.sockets) socket.on('error', () => {})
    launched.stderr.on('data', (bytes: Uint8Array) => {
      this.#stderr = (this.#stderr + new TextDecoder().decode(bytes)).slice(-STDERR_CHARS)
    })
    this.qmp = new QmpClient({
      input: launched.stdout,
      output: launched.stdin,
      onEvent: (event) => this.#onEvent(event),
    })
    this.networks = options.cards.map((card, index) => new Card(this.qmp, card, index))
    this.#ended = this.#awaitEnd()
    options.signal?.addEventListener('abort', this.#kill, { once: true })
    if (options.signal?.aborted) this.#kill()
  }

  get forwards(): readonly Forward[] {
    return this.networks.flatMap(({ forwards }) => forwards)
  }

  get disks(): readonly Disk[] {
    return [...this.#disks]
  }

  get exited(): Promise<VmExit> {
    this.#met = true
    return this.#ended
  }

  async waitForPoweroff(): Promise<VmExit> {
    const exit = await this.exited
    if (exit.error) throw exit.error
    return exit
  }

  async powerdown(): Promise<void> {
    try {
      await this.qmp.powerdown()
    } catch (error) {
      // A guest that ends meanwhile needs no button.
      const ended = await Promise.race([this.#ended, delay(DRAIN_MS)])
      if (ended === undefined) throw error
    }
  }

  async kill(): Promise<VmExit> {
    this.#kill()
    return this.#ended
  }

  async pause(): Promise<void> {
    this.#watch.pauseSilence()
    await this.qmp.execute('stop')
  }

  async resume(): Promise<void> {
    await this.qmp.execute('cont')
    this.#watch.resumeSilence()
  }

  async reset(): Promise<void> {
    await this.pause()
    // What the guest has printed is read first: only what comes later is of the new beginning.
    await delay(SETTLE_MS)
    const begun = this.qmp.nextEvent('RESET')
    // `-no-reboot` would make of our own reset an end as well, and of those that the firmware then does by itself.
    if (this.options.onReboot === 'end') await this.qmp.execute('set-action', { reboot: 'reset' })
    this.#rebootsUntilOutput = this.options.onReboot === 'end'
    await this.qmp.execute('system_reset')
    await begun
    await this.resume()
  }

  async nmi(): Promise<void> {
    if (!this.options.model.nmi) {
      const reason = 'an aarch64 machine has no non-maskable interrupt'
      throw new UnsupportedError([{ backend: 'qemu', feature: 'nmi', reason }])
    }
    await this.qmp.execute('inject-nmi')
  }

  async setMemory(memoryMiB: number): Promise<void> {
    const { balloon, memoryMiB: wholeMiB } = this.options
    if (!balloon) throw new TypeError('setMemory: the guest has no balloon: start it with `balloon: true`')
    if (!(Number.isInteger(memoryMiB) && memoryMiB >= 1 && memoryMiB <= wholeMiB))
      throw new RangeError(`setMemory: ${memoryMiB} is not a whole number from 1 to ${wholeMiB}`)
    await this.qmp.execute('balloon', { value: memoryMiB * 1_048_576 })
  }

  async addDisk(options: DiskOptions): Promise<Disk> {
    if (this.options.disks === undefined)
      throw new TypeError('addDisk: the guest has no controller: start it with `disks: []`')
    const taken = this.#disks.map(({ name }) => name)
    const disk = await openDisk(this.qmp, checkDisk(options, taken, 'disk'), taken.length)
    this.#disks.push(disk)
    return disk
  }

  /** Lets the CPUs run (unless a debugger is to do that), and the limits with them. */
  async begin(): Promise<void> {
    if (this.gdb?.waiting !== true) await this.qmp.execute('cont')
    this.#watch.begin()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#kill()
    const { error, reason } = await this.#ended
    // Being killed is what disposal does; a reboot was the guest's own wish.
    if (error && !this.#met && reason !== 'killed' && reason !== 'reboot') throw error
  }

  readonly #kill = (): void => {
    this.#launched.process.kill('SIGKILL')
  }

  #onEvent({ event, data }: QmpEvent): void {
    if (event === 'SHUTDOWN') this.#shutdownCause = data['reason']
    if (event === 'GUEST_PANICKED') this.#guestPanicked = true
    if (event === 'RESET') this.#onReset(data['reason'] as ShutdownCause)
  }

  /** After a reset SeaBIOS resets once or twice by itself, before anything is printed: they are part of the first. */
  #onReset(cause: ShutdownCause): void {
    const byFirmware = cause === 'guest-reset' && this.#resetPosition === this.console.position
    this.#resetPosition = this.console.position
    // A kernel that panicked has begun anew (`panic=-1`): what it panicked for is told, and that was its end.
    if (this.#watch.trouble) this.#kill()
    else if (!byFirmware) this.options.onReset?.(cause)
  }

  #receive(bytes: Uint8Array): void {
    if (this.#rebootsUntilOutput) {
      this.#rebootsUntilOutput = false
      // The firmware is done: from now on a reset is the guest's own wish. A guest that ends meanwhile needs no rule.
      this.qmp.execute('set-action', { reboot: 'shutdown' }).catch(() => {})
    }
    this.#watch.receive(bytes)
  }

  async #awaitEnd(): Promise<VmExit> {
    const { process: child, sockets, stdin, stdout, stderr } = this.#launched
    // The agent's last words too: its end mark comes just before the power goes.
    const drained = Promise.all([...sockets, stdout, stderr].map((stream) => streamEnd(stream)))
    const exit = deferred<[number | null, string | null]>()
    child.once('exit', (code, signal) => exit.resolve([code, signal]))
    if (child.exitCode !== null || child.signalCode !== null) exit.resolve([child.exitCode, child.signalCode])
    const [code, signal] = await exit.promise
    await Promise.race([drained, delay(DRAIN_MS)])
    this.#watch.stop()
    this.options.signal?.removeEventListener('abort', this.#kill)
    for (const stream of [...sockets, stdin, stdout, stderr]) stream.destroy()
    const end = judgeEnd({
      code,
      signal,
      stderr: this.#stderr,
      shutdownCause: this.#shutdownCause,
      guestPanicked: this.#guestPanicked,
      debugExit: this.options.qemuArguments.some((word) => word.startsWith('isa-debug-exit')),
      verdict: this.#watch.verdict(),
      tail: this.console.tail(),
    })
    const ended = new GuestEndedError('the guest powered itself off', this.console.tail())
    this.console.end(end.error ?? ended, () => {
      this.#met = true
    })
    return end
  }
}

function streamEnd(stream: NodeJS.EventEmitter): Promise<void> {
  const { promise, resolve } = deferred<void>()
  for (const event of ['end', 'close', 'error']) stream.once(event, () => resolve())
  return promise
}

function delay(timeMs: number): Promise<undefined> {
  return new Promise((resolve) => {
    setTimeout(() => resolve(undefined), timeMs).unref()
  })
}
