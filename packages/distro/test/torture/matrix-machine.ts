// The machine of a cell of the matrix: a disk that remembers under real firmware, an agent that is spoken to, and a
// service that does harm when it is asked to.
import { createHash } from 'node:crypto'
import { copyFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { crashStates } from '@pkg/vm/crash-states'
import { rememberingDisk, type RememberingDisk } from '@pkg/vm/nbd'
import type { QemuMachine } from '@pkg/vm/qemu'
import type { DeviceStatus } from '../../src/agent/bodies.ts'
import { certificateOf } from '../../src/device/certificate.ts'
import { DeviceAway, DeviceClient } from '../../src/device/client.ts'
import { powerOff } from '../../src/run.ts'
import { hang } from './hang.ts'
import type { Judge, Verdict } from './judge.ts'
import { AGENT_PORT, BOOT_MS, FOUND, startFirmware } from './recording.ts'

/** Where guest/saboteur.ts listens. */
const SABOTEUR_PORT = 9999

/** Three tries, each with its time-out, on a busy machine. */
export const BACK_MS = 900_000

/** So much of the console is told of a machine that did not do what it should. */
const LINES_TOLD = 25

/** Between two looks at something that has no event. */
const LOOK_MS = 100

/** Shorter than what the firmware takes between the loader's write and the kernel. */
const SOON_MS = 2

async function until(otherwise: string, isThere: () => boolean): Promise<void> {
  const untilMs = performance.now() + BOOT_MS
  while (!isThere()) {
    if (performance.now() > untilMs) throw new Error(otherwise)
    await Bun.sleep(SOON_MS)
  }
}

/** What a machine is made of. */
export interface MatrixMachineOptions {
  /** For its disks and variables. */
  readonly folder: string
  /** Image of the disk; never changed. */
  readonly image: string
  /** The firmware's variables; never changed. */
  readonly variables: string
  /** Path of the owner's key. */
  readonly key: string
  /** Decides what a power cut takes. */
  readonly seed: string
  readonly qemuArguments: readonly string[]
  /** Whether it may be hung. */
  readonly hasDebugger: boolean
  readonly signal: AbortSignal | undefined
}

/** A machine, on or off. */
export class MatrixMachine implements AsyncDisposable {
  /** How often it was reset, by itself or by its watchdog. */
  resets = 0
  readonly #options: MatrixMachineOptions
  readonly #variables: string
  #disk: RememberingDisk
  /** Images that were made on the way. */
  readonly #images: string[] = []
  #vm: QemuMachine | undefined
  #client: DeviceClient | undefined
  /** Where the console's text of what matters begins. */
  #from = 0
  /** The last file that its user was told is safe. */
  #kept = 0
  /** What was not there, or not as it was, of what was safe: in words. */
  #lost = ''
  #line = ''

  private constructor(options: MatrixMachineOptions, disk: RememberingDisk) {
    this.#options = options
    this.#disk = disk
    this.#variables = join(options.folder, 'variables.fd')
    copyFileSync(options.variables, this.#variables)
  }

  static async make(options: MatrixMachineOptions): Promise<MatrixMachine> {
    return new MatrixMachine(options, await rememberingDisk({ base: options.image }))
  }

  get #running(): QemuMachine {
    if (this.#vm === undefined) throw new Error('the machine is off')
    return this.#vm
  }

  /** The console's last lines, since it was switched on. */
  get lastLines(): string {
    return this.#vm?.console.text.trimEnd().split('\n').slice(-LINES_TOLD).join('\n') ?? 'it is off'
  }

  /** Switches it on. */
  async start(): Promise<void> {
    const { qemuArguments, hasDebugger, signal } = this.#options
    this.#client = undefined
    this.#from = 0
    this.#vm = await startFirmware(this.#variables, {
      disks: [{ name: 'main', nbd: this.#disk.uri }],
      networks: [
        {
          kind: 'user',
          forwards: [AGENT_PORT, SABOTEUR_PORT].map((guestPort) => ({ hostPort: 0, guestPort })),
        },
      ],
      onConsole: (text) => this.#hear(text),
      onReset: () => (this.resets += 1),
      // The first watchdog that registers is the one that stage 1 arms.
      qemuArguments: [...qemuArguments, '-device', 'i6300esb'],
      gdb: hasDebugger,
      timeoutMs: 2 * BACK_MS,
      ...(signal === undefined ? {} : { signal }),
    })
  }

  /** From here on the console is looked at. */
  mark(): void {
    this.#from = this.#running.console.position
  }

  /** The same, for a text that was printed: what comes from its last place on. */
  markAt(text: string): void {
    const { console: guest } = this.#running
    this.#from = guest.droppedChars + Math.max(0, guest.text.lastIndexOf(text))
  }

  /** Waits for a line of the console behind the last {@link mark}. */
  async see(pattern: RegExp, timeoutMs: number = BOOT_MS): Promise<RegExpExecArray> {
    return await this.#running.console.waitFor(pattern, { from: this.#from, timeoutMs })
  }

  /**
   * Waits until it is as a machine should be: ready, blessed, with every file that its user was told is safe.
   *
   * @returns the blessed slot
   */
  async settle(timeoutMs: number = BOOT_MS): Promise<string> {
    await this.see(/init: ready in /, timeoutMs)
    await this.see(FOUND)
    if (this.#lost !== '') throw new Error(this.#lost)
    const [, slot = ''] = await this.see(/boot blessed: (solo[ab])\+/)
    return slot
  }

  /** The agent, once it can be asked. */
  async client(): Promise<DeviceClient> {
    if (this.#client !== undefined) return this.#client
    await this.see(/agent: https on port/)
    const port = this.#portOf(AGENT_PORT)
    const address = { host: '127.0.0.1', port, text: `127.0.0.1:${port}` }
    this.#client = new DeviceClient(address, await certificateOf(address, BOOT_MS), this.#options.key)
    return this.#client
  }

  /** What the agent says, as soon as it does: it may be starting again. */
  async status(): Promise<DeviceStatus> {
    const untilMs = performance.now() + BOOT_MS
    for (;;) {
      try {
        return await (await this.client()).status()
      } catch (error) {
        if (!(error instanceof DeviceAway) || performance.now() > untilMs) throw error
        await Bun.sleep(LOOK_MS)
      }
    }
  }

  /** Waits until agent and updater are there, as they are again after a kill. */
  async untilServing(): Promise<void> {
    const untilMs = performance.now() + BOOT_MS
    while ((await this.status()).slots === null) {
      if (performance.now() > untilMs) throw new Error('the updater does not answer')
      await Bun.sleep(LOOK_MS)
    }
  }

  /** Waits until an update is in a phase. @throws Error it ended before */
  async untilPhase(phase: string): Promise<void> {
    const untilMs = performance.now() + BACK_MS
    while (performance.now() < untilMs) {
      const { update } = await this.status()
      if (update?.phase === phase && update.state === 'running') return
      if (update !== null && update.state !== 'running')
        throw new Error(`the update has ${update.state}: ${update.failure?.message ?? `before ${phase}`}`)
      await Bun.sleep(LOOK_MS)
    }
    throw new Error(`the update did not come to ${phase}`)
  }

  /** Waits for the next reset; the console is looked at from there on. */
  async untilReset(): Promise<void> {
    const resets = this.resets
    await until('the machine was not reset', () => this.resets > resets)
    this.mark()
  }

  /** Waits for the next write, as the loader makes it before it starts a kernel. */
  async untilWrite(): Promise<void> {
    const written = this.#disk.log.entries.length
    await until('nothing was written', () => this.#disk.log.entries.length > written)
  }

  /** Asks the saboteur. */
  async sabotage(what: string): Promise<void> {
    await this.see(/saboteur: listening/)
    const response = await fetch(`http://127.0.0.1:${this.#portOf(SABOTEUR_PORT)}/${what}`)
    const answer = (await response.json()) as Record<string, number>
    if (Object.values(answer).every((count) => count === 0)) throw new Error(`/${what} has done nothing`)
  }

  /** Panics the kernel, from outside. */
  async panic(): Promise<void> {
    this.mark()
    await this.#running.nmi()
    await this.see(/Kernel panic/)
    this.#client = undefined
  }

  /** Stops all processors for ever. */
  async hang(): Promise<void> {
    this.mark()
    await hang(this.#running.gdb?.port ?? 0)
    this.#client = undefined
  }

  /**
   * Takes the power away: of what no flush had settled a part is lost, which one the seed decides. It is off then.
   *
   * @returns what the judge says of what is left, in a line
   */
  async cut(judge: Judge): Promise<{ readonly verdict: Verdict; readonly state: string }> {
    await this.#vm?.kill()
    this.#vm = undefined
    const { log } = this.#disk
    const from = log.entries.length
    const limits = { exhaustiveWrites: 4, samplesPerEpoch: 16, tornPerEpoch: 8 }
    const states = [...crashStates(log, { from, ...limits, seed: this.#options.seed })]
    const number = createHash('sha1').update(this.#options.seed).digest().readUInt32LE()
    const state = states[number % states.length]
    if (state === undefined) throw new Error('the log has no state after its end')
    const verdict = await judge.judge(state)
    const image = join(this.#options.folder, `cut-${this.#images.length}.img`)
    this.#images.push(image)
    await state.writeTo(image)
    await this.#replaceDisk(image)
    return { verdict, state: state.name }
  }

  /** Switches it off in order. */
  async stop(): Promise<void> {
    await powerOff(this.#running, BOOT_MS)
    this.#vm = undefined
  }

  /** What would become of the disk as it is now, by the judge. */
  async verdict(judge: Judge): Promise<Verdict> {
    const { log } = this.#disk
    const [state] = [...crashStates(log, { from: log.entries.length, exhaustiveWrites: 0 })].slice(-1)
    if (state === undefined) throw new Error('the log has no state at its end')
    return await judge.judge(state)
  }

  /** Writes disk and variables. It must be off. */
  async save(image: string, variables: string): Promise<void> {
    await this.#disk.writeTo(image)
    copyFileSync(this.#variables, variables)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#vm?.kill()
    await this.#disk[Symbol.asyncDispose]()
    for (const path of [...this.#images, this.#variables]) rmSync(path, { force: true })
  }

  async #replaceDisk(base: string): Promise<void> {
    const before = this.#disk
    this.#disk = await rememberingDisk({ base })
    await before[Symbol.asyncDispose]()
  }

  #portOf(guestPort: number): number {
    const port = this.#running.forwards.find((forward) => forward.guestPort === guestPort)?.hostPort
    if (port === undefined) throw new Error(`port ${guestPort} is not forwarded`)
    return port
  }

  #hear(text: string): void {
    const lines = (this.#line + text).split(/\r?\n/)
    this.#line = lines.pop() ?? ''
    for (const line of lines) {
      this.#kept = Math.max(this.#kept, Number(/kept (\d+)$/.exec(line)?.[1] ?? 0))
      const [, , last, damaged] = FOUND.exec(`${line}\n`) ?? []
      if (damaged === undefined) continue
      if (damaged !== 'none') this.#lost = `damaged files: ${damaged}`
      else if (Number(last) < this.#kept) this.#lost = `file ${this.#kept} was safe, and ${last} is the last`
    }
  }
}
