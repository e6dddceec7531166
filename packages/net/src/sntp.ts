// The time from servers on the network: a simple NTP client (SNTP, RFC 4330 and RFC 5905).
//
// Nothing of it is signed: who sits between us and the server can tell any time within the bounds. What protects is that
// several servers are asked, that answers have to match a random number, and that the caller says which times can be.
import { AF_INET, AF_INET6, MSG_DONTWAIT, SOCK_DGRAM, SOCK_NONBLOCK } from '@pkg/sys/constants'
import { isSysError } from '@pkg/sys/errno'
import { reactor } from '@pkg/sys/reactor'
import { connect, recvfrom, sendto, socket } from '@pkg/sys/socket'
import { encodeRequest, readReply, type Bounds, type Refusal, type Reply } from './sntp/packet.ts'

/** The port of NTP. */
const PORT = 123

/** Extensions and authenticators that somebody may append are cut off: nothing behind the packet is read. */
const RECEIVE_BYTES = 512

/** How a time server is asked. */
export interface SntpOptions {
  /** UDP port. Default: 123. */
  port?: number
  /** How long an answer may take. Default: 3000. */
  timeoutMs?: number
  /**
   * No time before this is believed, in milliseconds since 1970: when the program was built, say. It also tells which
   * of NTP's eras of 136 years is meant. Default: 2020.
   */
  earliestMs?: number
  /** No time after this is believed. Default: fifty years after `earliestMs`. */
  latestMs?: number
  /** Gives the question up. */
  signal?: AbortSignal
}

/** What a server's answer says of our clock. */
export interface TimeSample {
  /** The server's address. */
  readonly server: string
  /** How much later the server's clock is than ours, in milliseconds; negative when ours is ahead. */
  readonly offsetMs: number
  /** How long question and answer were on their way; the offset may be wrong by half of it. */
  readonly delayMs: number
  /** How far the server is from a reference clock: 1 to 15. */
  readonly stratum: number
}

/** A server that gives no time, or none that can be believed. */
export class SntpError extends Error {
  override name = 'SntpError'
  /** The server's address. */
  readonly server: string
  /**
   * The code of a server that wants to be left alone: `DENY` and `RSTR` for good, `RATE` to be asked less often
   * (RFC 5905, section 7.4). Null when that is not the reason.
   */
  readonly kiss: string | null

  constructor(server: string, problem: string, kiss: string | null = null) {
    super(`time server ${server}: ${problem}`)
    this.server = server
    this.kiss = kiss
  }
}

const EARLIEST_MS = Date.UTC(2020, 0, 1)
const FIFTY_YEARS_MS = 50 * 365.25 * 24 * 3600 * 1000

/**
 * Asks one server.
 *
 * @param server - its IPv4 or IPv6 address; names have to be resolved before
 * @throws {@link SntpError} it does not answer in time, or cannot be believed; {@link SysError} `ENETUNREACH` no route
 * @throws the signal's reason when aborted
 * @see https://www.rfc-editor.org/rfc/rfc4330#section-5
 * @example
 * ```ts no-run
 * import { queryTime } from '@pkg/net/sntp'
 *
 * const { offsetMs, delayMs } = await queryTime('192.0.2.1')
 * console.log(`our clock is wrong by ${-offsetMs} ms, give or take ${delayMs / 2} ms`)
 * ```
 */
export async function queryTime(server: string, options: SntpOptions = {}): Promise<TimeSample> {
  const { port = PORT, timeoutMs = 3000, earliestMs = EARLIEST_MS } = options
  const bounds: Bounds = { earliestMs, latestMs: options.latestMs ?? earliestMs + FIFTY_YEARS_MS }
  const timeout = AbortSignal.timeout(timeoutMs)
  const signal = options.signal === undefined ? timeout : AbortSignal.any([options.signal, timeout])
  const nonce = crypto.getRandomValues(new Uint8Array(8))
  const family = server.includes(':') ? AF_INET6 : AF_INET
  // The kernel gives a new socket a port of its own choice: one thing more that a forger has to guess.
  using udp = socket(family, SOCK_DGRAM | SOCK_NONBLOCK, 0)
  // Connected: what comes from another address is not even shown.
  connect(udp, { family, address: server, port })
  const sentAtMs = Date.now()
  // Between the two readings the clock may be set; this one only goes on.
  const startMs = performance.now()
  sendto(udp, encodeRequest(nonce), MSG_DONTWAIT)
  let passedOver = ''
  for (;;) {
    try {
      await reactor().readable(udp, { signal })
    } catch (error) {
      if (!timeout.aborted || options.signal?.aborted === true) throw error
      throw new SntpError(server, `no answer within ${timeoutMs} ms${passedOver}`)
    }
    const tookMs = performance.now() - startMs
    const reply = receive(udp, nonce, bounds, server)
    if (reply === null) continue
    if (!('problem' in reply)) return sampleOf(server, reply, sentAtMs, tookMs)
    if (reply.isAnswer) throw new SntpError(server, reply.problem, reply.kiss)
    passedOver = `, but something else: ${reply.problem}`
  }
}

function receive(
  udp: ReturnType<typeof socket>,
  nonce: Uint8Array,
  bounds: Bounds,
  server: string,
): Reply | Refusal | null {
  const memory = new Uint8Array(new ArrayBuffer(RECEIVE_BYTES))
  try {
    const { size } = recvfrom(udp, memory, MSG_DONTWAIT)
    return readReply(memory.subarray(0, size), nonce, bounds)
  } catch (error) {
    if (isSysError(error, 'EAGAIN')) return null
    // An ICMP answer: nobody listens there.
    if (isSysError(error)) throw new SntpError(server, error.code)
    throw error
  }
}

/** RFC 5905 section 8: the offset is the mean of both ways, the delay what was not spent in the server. */
function sampleOf(server: string, reply: Reply, sentAtMs: number, tookMs: number): TimeSample {
  const { receivedMs, sentMs, stratum } = reply
  return {
    server,
    offsetMs: (receivedMs - sentAtMs + (sentMs - (sentAtMs + tookMs))) / 2,
    delayMs: Math.max(0, tookMs - (sentMs - receivedMs)),
    stratum,
  }
}

/** What {@link measureTime} found. */
export interface Measurement {
  /** The answer to go by. */
  readonly best: TimeSample
  /** All answers. */
  readonly samples: readonly TimeSample[]
  /** Why others gave none. */
  readonly failures: readonly Error[]
}

/**
 * Asks several servers at once and takes the answer in the middle: of three, one that lies, or is wrong, is outvoted.
 * Of two that differ the nearer one is believed.
 *
 * @param servers - addresses; each is asked once
 * @throws AggregateError none has answered, with the reason of each; TypeError without any server
 * @throws the signal's reason when aborted
 * @example
 * ```ts no-run
 * import { measureTime } from '@pkg/net/sntp'
 *
 * const { best, samples } = await measureTime(['192.0.2.1', '192.0.2.2', '2001:db8::1'])
 * console.log(`${best.offsetMs} ms, by ${samples.length} servers`)
 * ```
 */
export async function measureTime(
  servers: readonly string[],
  options: SntpOptions = {},
): Promise<Measurement> {
  const unique = [...new Set(servers)]
  if (unique.length === 0) throw new TypeError('measureTime: no server to ask')
  const settled = await Promise.allSettled(unique.map(async (server) => await queryTime(server, options)))
  options.signal?.throwIfAborted()
  const samples = settled.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []))
  const failures = settled.flatMap((each) => (each.status === 'rejected' ? [each.reason as Error] : []))
  const best = middleOf(samples)
  if (best === undefined) {
    throw new AggregateError(failures, failures.map(({ message }) => message).join('; '))
  }
  return { best, samples, failures }
}

function middleOf(samples: readonly TimeSample[]): TimeSample | undefined {
  const sorted = samples.toSorted((a, b) => a.offsetMs - b.offsetMs)
  const above = sorted[sorted.length >> 1]
  const under = sorted[(sorted.length - 1) >> 1]
  return above !== undefined && under !== undefined && under.delayMs < above.delayMs ? under : above
}
