/** Asking time servers, for ever: soon while they do not answer, seldom once they have. */
import { measureTime, SntpError, type Measurement } from '@pkg/net/sntp'
import type { LogPriority } from '../core.ts'
import type { Clock } from './clock.ts'

/** What synchronising needs. */
export interface SynchroniseContext {
  /** The clock. */
  readonly clock: Clock
  /** The servers, by name or address, the ones to ask first at the beginning. */
  readonly servers: () => readonly string[]
  /** The clock was corrected. */
  readonly onCorrected: () => void
  /** Writes a line of PID 1's. */
  readonly log: (priority: LogPriority, text: string) => void
  /** Asks the servers at these addresses. */
  readonly measure?: (addresses: readonly string[], earliestMs: number) => Promise<Measurement>
  /** Addresses of a name. */
  readonly resolve?: (name: string) => Promise<readonly string[]>
}

/** The loop. */
export interface Synchroniser extends Disposable {
  /** There are other servers now: asks at once. */
  serversChanged(): void
}

/** So many are asked at a time: three outvote one that lies, and a pool's name has four addresses. */
const SERVERS_MAX = 4
/** The pause after a failure grows to the other. */
const RETRY_MS = 2000
const RETRY_MAX_MS = 15 * 60_000
/** After a success: RFC 4330 section 10 wants no more than one question a minute. */
const POLL_MS = 64_000
const POLL_MAX_MS = 2_048_000

/** Begins to ask. */
export function synchronise(context: SynchroniseContext): Synchroniser {
  return new Loop(context)
}

class Loop implements Synchroniser {
  readonly #context: SynchroniseContext
  /** Servers that do not want to be asked any more. */
  readonly #unwanted = new Set<string>()
  #timer: ReturnType<typeof setTimeout> | undefined
  #asking = false
  /** Whether to ask again at once when the answers to this question are there. */
  #again = false
  #closed = false
  #failures = 0
  #pollMs = POLL_MS

  constructor(context: SynchroniseContext) {
    this.#context = context
    void this.#ask()
  }

  serversChanged(): void {
    this.#again = this.#asking
    if (!this.#asking) void this.#ask()
  }

  [Symbol.dispose](): void {
    this.#closed = true
    clearTimeout(this.#timer)
  }

  async #ask(): Promise<void> {
    this.#asking = true
    this.#again = false
    try {
      const measurement = await this.#measure()
      if (!this.#closed) this.#later(this.#correctBy(measurement))
    } catch (error) {
      if (error instanceof AggregateError) this.#heed(error.errors)
      this.#failures += 1
      const reason = error instanceof Error ? error.message : String(error)
      // The first time it is news; a machine without a network would fill its log with the others.
      this.#context.log(this.#failures === 1 ? 'warning' : 'debug', `clock: ${reason}`)
      this.#later(Math.min(RETRY_MAX_MS, RETRY_MS * 2 ** Math.min(this.#failures, 20)))
    }
    this.#asking = false
    if (this.#again && !this.#closed) void this.#ask()
  }

  #later(timeMs: number): void {
    clearTimeout(this.#timer)
    // Machines that were switched on together must not ask together.
    const jitter = 0.9 + 0.1 * Math.random()
    if (!this.#closed) this.#timer = setTimeout(() => void this.#ask(), timeMs * jitter)
  }

  async #measure(): Promise<Measurement> {
    const { clock, servers, measure = measureAt, resolve = addressesOf } = this.#context
    const addresses: string[] = []
    for (const name of servers()) {
      if (addresses.length >= SERVERS_MAX) break
      addresses.push(...(await resolve(name)).filter((address) => !this.#unwanted.has(address)))
    }
    if (addresses.length === 0) throw new Error('no time server has an address')
    return await measure(addresses.slice(0, SERVERS_MAX), clock.earliestMs)
  }

  /** Returns the time until the next question. */
  #correctBy({ best, samples, failures }: Measurement): number {
    const { clock, log, onCorrected } = this.#context
    const isFirst = clock.source !== 'sntp'
    const wasSet = clock.correct(best.offsetMs)
    const by = `by ${best.server}${samples.length > 1 ? ` and ${samples.length - 1} more` : ''}`
    const text = `clock: ${wasSet ? 'set' : 'steered'} by ${best.offsetMs.toFixed(1)} ms, ${by}`
    log(wasSet || isFirst ? 'notice' : 'debug', text)
    this.#failures = 0
    this.#pollMs = this.#heed(failures) ? POLL_MAX_MS : Math.min(POLL_MAX_MS, this.#pollMs * 2)
    onCorrected()
    return this.#pollMs
  }

  /** Leaves a server alone that asks for it, and says whether one wants to be asked less often. */
  #heed(errors: readonly unknown[]): boolean {
    const kisses = errors.filter((error) => error instanceof SntpError && error.kiss !== null) as SntpError[]
    for (const { server, kiss } of kisses) if (kiss !== 'RATE') this.#unwanted.add(server)
    return kisses.length > 0
  }
}

async function measureAt(addresses: readonly string[], earliestMs: number): Promise<Measurement> {
  return await measureTime(addresses, { earliestMs })
}

/** By the C library, which reads resolv.conf again when it has changed. */
async function addressesOf(name: string): Promise<readonly string[]> {
  if (/^[\d.]+$/.test(name) || name.includes(':')) return [name]
  try {
    return (await Bun.dns.lookup(name, { backend: 'libc', socketType: 'udp' })).map(({ address }) => address)
  } catch {
    return []
  }
}
