// The packets of NTP, and what a client may believe of them.
//
// RFC 5905 section 7.3 (format), RFC 4330 section 5 (what a simple client has to check).

/** Bytes of a packet without extensions. */
export const PACKET_BYTES = 48

/** From 1900, where NTP counts from, to 1970 (RFC 5905 section 6). */
const UNIX_EPOCH_SECONDS = 2_208_988_800
const ERA_SECONDS = 2 ** 32

/** First byte of a request: no leap warning, version 4, mode 3 (client). */
const CLIENT = 0x23
const MODE_SERVER = 4
const NOT_SYNCHRONISED = 3

/** Codes in place of a reference by which a server asks to be left alone (RFC 5905 section 7.4). */
const KISSES: ReadonlySet<string> = new Set(['DENY', 'RSTR', 'RATE'])

/** A root farther away, or less certain, than this is no good (RFC 5905, MAXDISP is 16 s). */
const ROOT_MAX_MS = 16_000

/** Where fields are. */
const STRATUM = 1
const ROOT_DELAY = 4
const ROOT_DISPERSION = 8
const REFERENCE = 12
const ORIGIN = 24
const RECEIVE = 32
const TRANSMIT = 40

/** What a server says, once it is believed. */
export interface Reply {
  /** How far it is from a reference clock: 1 to 15. */
  readonly stratum: number
  /** When it got our request, by its clock, in milliseconds since 1970. */
  readonly receivedMs: number
  /** When it sent its reply. */
  readonly sentMs: number
  /** How far it may itself be wrong. */
  readonly rootDistanceMs: number
}

/** Why a packet is not believed. `kiss` is the code of a server that wants to be left alone. */
export interface Refusal {
  /** In words. */
  readonly problem: string
  /** `DENY`, `RSTR` or `RATE`; null for any other packet. */
  readonly kiss: string | null
  /** Whether it answers our request at all: one that does not may be somebody else's attempt, and is passed over. */
  readonly isAnswer: boolean
}

/** What a believable time lies between. */
export interface Bounds {
  /** The earliest, in milliseconds since 1970. */
  readonly earliestMs: number
  /** The latest. */
  readonly latestMs: number
}

/**
 * A request.
 *
 * @param nonce - eight random bytes in place of our time: the server gives them back, and who did not see the request
 *   cannot guess them. What time we think it is, is nobody's business.
 */
export function encodeRequest(nonce: Uint8Array): Uint8Array<ArrayBuffer> {
  const packet = new Uint8Array(new ArrayBuffer(PACKET_BYTES))
  packet[0] = CLIENT
  packet.set(nonce, TRANSMIT)
  return packet
}

/** Reads a packet that may be the reply to the request with this nonce. */
export function readReply(packet: Uint8Array, nonce: Uint8Array, bounds: Bounds): Reply | Refusal {
  if (packet.length < PACKET_BYTES) return foreign(`${packet.length} bytes`)
  const view = new DataView(packet.buffer, packet.byteOffset, packet.byteLength)
  const first = view.getUint8(0)
  if ((first & 7) !== MODE_SERVER) return foreign(`mode ${first & 7}, not 4 (server)`)
  const origin = packet.subarray(ORIGIN, ORIGIN + 8)
  if (origin.some((byte, index) => byte !== nonce[index])) return foreign('not the reply to our request')
  const stratum = view.getUint8(STRATUM)
  const code = String.fromCharCode(...packet.subarray(REFERENCE, REFERENCE + 4))
  if (stratum === 0 && KISSES.has(code))
    return { problem: `it does not want to be asked (${code})`, kiss: code, isAnswer: true }
  // Stratum 0 without such a code, or with INIT or STEP: as chrony and ntpd answer while they have no time.
  if (first >> 6 === NOT_SYNCHRONISED || stratum === 0 || stratum > 15)
    return useless('it does not know the time itself')
  const rootDistanceMs = shortMs(view, ROOT_DELAY) / 2 + shortMs(view, ROOT_DISPERSION)
  if (rootDistanceMs > ROOT_MAX_MS)
    return useless(`it may itself be wrong by ${Math.round(rootDistanceMs)} ms`)
  const receivedMs = timeMs(view, RECEIVE, bounds)
  const sentMs = timeMs(view, TRANSMIT, bounds)
  if (receivedMs === null || sentMs === null) return useless('it gives no time')
  if (sentMs > bounds.latestMs) return useless(`its time is out of bounds: ${new Date(sentMs).toISOString()}`)
  if (sentMs < receivedMs) return useless('it sent its reply before it got our request')
  return { stratum, receivedMs, sentMs, rootDistanceMs }
}

function foreign(problem: string): Refusal {
  return { problem, kiss: null, isAnswer: false }
}

function useless(problem: string): Refusal {
  return { problem, kiss: null, isAnswer: true }
}

/** 16 bits of seconds and 16 of their fraction. */
function shortMs(view: DataView, offset: number): number {
  return (view.getUint32(offset) / 2 ** 16) * 1000
}

/**
 * 32 bits of seconds, which come round every 136 years (next in 2036), and 32 of their fraction: the first such time
 * that is not before the earliest. Null for zero, which means "not known".
 */
function timeMs(view: DataView, offset: number, { earliestMs }: Bounds): number | null {
  const [seconds, fraction] = [view.getUint32(offset), view.getUint32(offset + 4)]
  if (seconds === 0 && fraction === 0) return null
  const inEraZero = (seconds - UNIX_EPOCH_SECONDS) * 1000 + (fraction / 2 ** 32) * 1000
  const eras = Math.ceil((earliestMs - inEraZero) / (ERA_SECONDS * 1000))
  return inEraZero + Math.max(0, eras) * ERA_SECONDS * 1000
}
