/**
 * A client for QEMU's Machine Protocol: JSON, a message a line; commands have answers, events come by
 * themselves. It works on any pair of streams: a Unix socket, or QEMU's own stdin and stdout.
 *
 * @see https://www.qemu.org/docs/master/interop/qmp-spec.html
 */
import { createConnection } from 'node:net'
import type { Readable, Writable } from 'node:stream'
import { deferred } from './host/deferred.ts'

/** An event as QEMU sends it. */
export interface QmpEvent {
  /** The event's name: `SHUTDOWN`, `RESET`, `GUEST_PANICKED`, `POWERDOWN`, … */
  event: string
  /** Its data, by the QAPI schema of that event; empty when it has none. */
  data: Record<string, unknown>
  /** When it happened by the host's clock, in milliseconds since 1970. */
  timeMs: number
}

/**
 * Why QEMU stopped, as the `SHUTDOWN` event tells it.
 *
 * @see https://gitlab.com/qemu-project/qemu/-/blob/v7.2.0/qapi/run-state.json (ShutdownCause)
 */
export type ShutdownCause =
  | 'none'
  | 'host-error'
  | 'host-qmp-quit'
  | 'host-qmp-system-reset'
  | 'host-signal'
  | 'host-ui'
  | 'guest-shutdown'
  | 'guest-reset'
  | 'guest-panic'
  | 'subsystem-reset'
  | 'snapshot-load'

/** Options of {@link QmpClient}. */
export interface QmpClientOptions {
  /** What QEMU writes. */
  input: Readable
  /** What QEMU reads. */
  output: Writable
  /** Called with every event, in order, from the first one on. */
  onEvent?: (event: QmpEvent) => void
}

/** Options of {@link QmpClient.execute}. */
export interface ExecuteOptions {
  /** How long to wait for the answer, in milliseconds. Default 10,000. */
  timeoutMs?: number
}

/** QEMU refused a command, did not answer in time, or is gone. */
export class QmpError extends Error {
  override name = 'QmpError'
  /**
   * QEMU's error class (`GenericError`, `CommandNotFound`, `DeviceNotFound`, …), or `Timeout`, `Closed`,
   * `Protocol` for what this client found.
   */
  readonly errorClass: string

  constructor(errorClass: string, message: string) {
    super(message)
    this.errorClass = errorClass
  }
}

/** Options of {@link QmpClient.nextEvent}. */
export interface NextEventOptions {
  /** Which of the events of that name is meant. Default: the first. */
  where?: (data: Record<string, unknown>) => boolean
  /** How long to wait, in milliseconds. Default 10,000. */
  timeoutMs?: number
}

interface EventWaiter {
  name: string
  where: (data: Record<string, unknown>) => boolean
  resolve: (event: QmpEvent) => void
  reject: (reason: QmpError) => void
}

interface Pending {
  command: string
  resolve: (value: unknown) => void
  reject: (reason: QmpError) => void
}

/** No message of QEMU's comes near this; the bound keeps a broken peer from filling the memory. */
const LINE_CHARS_MAX = 16 << 20

/**
 * One QMP session. Await {@link QmpClient.ready} before the first command.
 *
 * @example
 * ```ts no-run
 * import { connectQmp } from '@pkg/vm/qmp'
 *
 * using qmp = await connectQmp('/run/guest.qmp', { onEvent: ({ event }) => process.stderr.write(`${event}\n`) })
 * const { status } = await qmp.queryStatus()
 * if (status === 'running') await qmp.powerdown()
 * ```
 */
export class QmpClient implements Disposable {
  /** QEMU's version, once the session is open. Rejects with {@link QmpError} when it cannot be opened. */
  readonly ready: Promise<string>
  /** Resolves when the session is over, whoever ended it. */
  readonly closed: Promise<void>
  readonly #output: Writable
  readonly #onEvent: ((event: QmpEvent) => void) | undefined
  readonly #pending = new Map<number, Pending>()
  readonly #waiters = new Set<EventWaiter>()
  readonly #greeting = deferred<string>()
  readonly #closed = deferred<void>()
  #partial = ''
  #nextId = 1
  #over = false

  constructor(options: QmpClientOptions) {
    this.#output = options.output
    this.#onEvent = options.onEvent
    this.closed = this.#closed.promise
    const decoder = new TextDecoder()
    options.input.on('data', (chunk: Uint8Array) => this.#receive(decoder.decode(chunk, { stream: true })))
    for (const event of ['end', 'close', 'error']) options.input.on(event, () => this.#finish())
    // Writing to a QEMU that is gone is EPIPE here; the end of `input` tells the same.
    options.output.on('error', () => this.#finish())
    this.ready = this.#greeting.promise.then(async (version) => {
      await this.execute('qmp_capabilities')
      return version
    })
    // Whoever awaits `ready` gets the error; nobody must be forced to.
    this.ready.catch(() => {})
  }

  /**
   * Sends one command and gives what it returns.
   *
   * @throws {@link QmpError} refused (`errorClass` is QEMU's), not answered in time, or the session is over
   */
  execute(command: string, args?: Record<string, unknown>, options: ExecuteOptions = {}): Promise<unknown> {
    if (this.#over) return Promise.reject(new QmpError('Closed', `${command}: QEMU is gone`))
    const timeoutMs = options.timeoutMs ?? 10_000
    const id = this.#nextId++
    const { promise, resolve, reject } = deferred<unknown>()
    this.#pending.set(id, { command, resolve, reject })
    const timer = setTimeout(() => {
      this.#pending.delete(id)
      reject(new QmpError('Timeout', `${command}: no answer from QEMU within ${timeoutMs / 1000} s`))
    }, timeoutMs)
    this.#output.write(`${JSON.stringify({ execute: command, ...(args && { arguments: args }), id })}\n`)
    return promise.finally(() => clearTimeout(timer))
  }

  /**
   * Waits for an event that comes after this call: call it before the command that causes it.
   *
   * @throws {@link QmpError} it did not come in time (`errorClass` is `Timeout`), or the session is over
   */
  nextEvent(name: string, options: NextEventOptions = {}): Promise<QmpEvent> {
    const { where = () => true, timeoutMs = 10_000 } = options
    const { promise, resolve, reject } = deferred<QmpEvent>()
    if (this.#over) reject(new QmpError('Closed', `${name}: QEMU is gone`))
    const waiter: EventWaiter = { name, where, resolve, reject }
    this.#waiters.add(waiter)
    const expire = (): void =>
      reject(new QmpError('Timeout', `${name}: QEMU did not tell of it within ${timeoutMs / 1000} s`))
    const timer = setTimeout(expire, timeoutMs)
    const settled = promise.finally(() => {
      clearTimeout(timer)
      this.#waiters.delete(waiter)
    })
    // The command that should cause the event may fail first, and then nobody looks here.
    settled.catch(() => {})
    return settled
  }

  /** `system_powerdown`: presses the power button. Returns when it is pressed, not when the guest is off. */
  async powerdown(): Promise<void> {
    await this.execute('system_powerdown')
  }

  /** `quit`: ends QEMU at once, after its disks are flushed. The guest is not asked. */
  async quit(): Promise<void> {
    await this.execute('quit')
  }

  /** `query-status`: whether the virtual CPUs run, and QEMU's word for the state (`running`, `paused`, …). */
  async queryStatus(): Promise<{ running: boolean; status: string }> {
    const answer = await this.execute('query-status')
    if (!isRecord(answer) || typeof answer['status'] !== 'string')
      throw new QmpError('Protocol', 'query-status: the answer has no status')
    return { running: answer['running'] === true, status: answer['status'] }
  }

  /** Runs a line of the human monitor (`info usernet`, `info registers`), for what QMP has no command for. */
  async humanMonitor(line: string, options: ExecuteOptions = {}): Promise<string> {
    return String(await this.execute('human-monitor-command', { 'command-line': line }, options))
  }

  /** Ends the session. QEMU goes on. */
  close(): void {
    this.#output.end()
    this.#finish()
  }

  /** The same as {@link QmpClient.close}. */
  [Symbol.dispose](): void {
    this.close()
  }

  #receive(text: string): void {
    const lines = (this.#partial + text).split('\n')
    this.#partial = lines.pop() ?? ''
    if (this.#partial.length > LINE_CHARS_MAX) this.#finish()
    for (const line of lines) if (line.trim() !== '') this.#message(line)
  }

  #message(line: string): void {
    let message: unknown
    try {
      message = JSON.parse(line)
    } catch {
      this.#greeting.reject(new QmpError('Protocol', `not a QMP message: ${line.slice(0, 200)}`))
      return
    }
    if (!isRecord(message)) return
    if (isRecord(message['QMP'])) this.#greeting.resolve(versionOf(message['QMP']))
    else if (typeof message['event'] === 'string') this.#tell(eventOf(message['event'], message))
    else this.#answer(message)
  }

  #tell(event: QmpEvent): void {
    this.#onEvent?.(event)
    for (const { name, where, resolve } of this.#waiters)
      if (name === event.event && where(event.data)) resolve(event)
  }

  #answer(message: Record<string, unknown>): void {
    const id = message['id']
    const pending = typeof id === 'number' ? this.#pending.get(id) : undefined
    // An answer without a known id is one whose time was over.
    if (!pending || typeof id !== 'number') return
    this.#pending.delete(id)
    const error = message['error']
    if (!isRecord(error)) return pending.resolve(message['return'])
    const errorClass = typeof error['class'] === 'string' ? error['class'] : 'GenericError'
    const description = typeof error['desc'] === 'string' ? error['desc'] : 'no description'
    pending.reject(new QmpError(errorClass, `${pending.command}: ${description}`))
  }

  #finish(): void {
    if (this.#over) return
    this.#over = true
    this.#greeting.reject(new QmpError('Closed', 'QEMU ended before the QMP session was open'))
    for (const { command, reject } of this.#pending.values())
      reject(new QmpError('Closed', `${command}: QEMU ended before it answered`))
    this.#pending.clear()
    for (const { name, reject } of this.#waiters)
      reject(new QmpError('Closed', `${name}: QEMU ended before it came`))
    this.#closed.resolve()
  }
}

/**
 * Opens a QMP session over the Unix socket at `path` (`-qmp unix:PATH,server=on,wait=off`).
 *
 * @throws {@link QmpError} nothing listens there, or what listens does not speak QMP
 */
export async function connectQmp(
  path: string,
  options: Pick<QmpClientOptions, 'onEvent'> = {},
): Promise<QmpClient> {
  const socket = createConnection({ path })
  const connected = deferred<void>()
  socket.once('connect', connected.resolve)
  socket.once('error', (cause) => connected.reject(new QmpError('Closed', `${path}: ${cause.message}`)))
  await connected.promise
  const client = new QmpClient({ input: socket, output: socket, ...options })
  client.closed.then(() => socket.destroy()).catch(() => {})
  await client.ready
  return client
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function versionOf(greeting: Record<string, unknown>): string {
  const version = isRecord(greeting['version']) ? greeting['version'] : {}
  const qemu = isRecord(version['qemu']) ? version['qemu'] : {}
  return `${Number(qemu['major'] ?? 0)}.${Number(qemu['minor'] ?? 0)}.${Number(qemu['micro'] ?? 0)}`
}

function eventOf(event: string, message: Record<string, unknown>): QmpEvent {
  const data = isRecord(message['data']) ? message['data'] : {}
  const stamp = isRecord(message['timestamp']) ? message['timestamp'] : {}
  const timeMs = Number(stamp['seconds'] ?? 0) * 1000 + Number(stamp['microseconds'] ?? 0) / 1000
  return { event, data, timeMs }
}
