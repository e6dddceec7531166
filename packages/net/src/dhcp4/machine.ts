// The DHCP client of RFC 2131 figure 5 as a pure function: (state, event, time) → (state, actions).
//
// No clock, no socket, no kernel: a simulation can run years in a second and replay any failure from its seed.
//
//   stopped ──carrier──▶ selecting ──offer──▶ requesting ──ack──▶ bound ──T1──▶ renewing ──T2──▶ rebinding
//      │                     ▲                    │                ▲  ▲           │ack              │ack
//      │                     ├──nak, no answer────┘                │  └───────────┴─────────────────┘
//      └──carrier, a lease───┼──▶ rebooting ──────ack──────────────┘
//         is still held      └──nak, no answer, lease over── (from rebooting, renewing, rebinding)
//
// `init` is a pause before the next DISCOVER: after a decline, and when servers NAK again and again. A lease that is
// held stays configured until it ends, is refused or is replaced, whatever state the client is in: a server that is
// away for a moment must not take the network down.
//
// There is no random delay of 1–10 s before the first DISCOVER (RFC 2131 section 4.4.1, "SHOULD"). It was meant for
// hundreds of diskless hosts that get power at once; links come up at different times by themselves, and a collision
// costs one retransmission. udhcpc, dhcpcd and systemd-networkd do without, too.
import { discover, decline, release, requestAgain, requestExtension, requestOffer } from './messages.ts'
import type { DhcpIdentity } from './messages.ts'
import { addressOption, messageType, MESSAGE_TYPE, OPTION, readLease, type Lease } from './options.ts'
import type { DhcpPacket } from './packet.ts'
import { nextRandom } from './random.ts'

/** The states of RFC 2131 figure 5, and `stopped` for a link without carrier. */
export type DhcpStateName =
  | 'stopped'
  | 'init'
  | 'selecting'
  | 'requesting'
  | 'rebooting'
  | 'bound'
  | 'renewing'
  | 'rebinding'

/** A lease that is configured on the link, with its times on the caller's clock. */
export interface HeldLease {
  lease: Lease
  renewAtMs: number
  rebindAtMs: number
  expiresAtMs: number
}

/** Everything the machine remembers. Treat as opaque, but for `name` and `held`. */
export interface DhcpState {
  readonly name: DhcpStateName
  /** What is configured on the link, in any state. */
  readonly held: HeldLease | null
  /** The state's own next time; {@link nextDeadlineMs} also knows when the lease ends. */
  readonly deadlineMs: number
  /** State of the random generator. */
  readonly random: number
  readonly xid: number
  /** When the client began to ask; `secs` counts from here. */
  readonly startedMs: number
  /** When the last message went out; a lease counts from here (RFC 2131 section 4.4.1). */
  readonly sentMs: number
  /** Messages sent in this state. */
  readonly attempts: number
  /** The offer that was chosen. */
  readonly offer: Lease | null
  /** NAKs since the last ACK. */
  readonly naks: number
}

/** What can happen to the client. */
export type DhcpEvent =
  | { type: 'carrier-up' }
  | { type: 'carrier-down' }
  | { type: 'timer' }
  | { type: 'packet'; packet: DhcpPacket }
  /** The address that was configured is in use elsewhere, or the kernel refused it. */
  | { type: 'conflict' }
  /** The caller gives the lease back and stops. */
  | { type: 'release' }

/** Why a configured address goes away. */
export type DeconfigureReason = 'expired' | 'nak' | 'conflict' | 'released'

/** What the shell around the machine must do, in order. */
export type DhcpAction =
  /** `link`: raw, from 0.0.0.0, because there is no address; `socket`: from the leased address. */
  | { type: 'send'; packet: DhcpPacket; destination: string; via: 'link' | 'socket' }
  /** Put the lease on the link; `previous` is the one to replace (its address may be the same). */
  | { type: 'configure'; held: HeldLease; previous: Lease | null }
  | { type: 'deconfigure'; lease: Lease; reason: DeconfigureReason }
  /** Something to tell, not to do. */
  | { type: 'report'; what: 'offer' | 'nak' | 'ignored'; server?: string; detail: string }

/** The result of one step. */
export interface DhcpStep {
  state: DhcpState
  actions: DhcpAction[]
}

type Draft = { -readonly [Key in keyof DhcpState]: DhcpState[Key] } & {
  nowMs: number
  actions: DhcpAction[]
  identity: DhcpIdentity
}

/** RFC 2131 section 4.1: 4 s, doubled each time up to 64 s, each ±1 s. */
const RETRANSMIT_MS = { first: 4_000, max: 64_000, jitter: 1_000 }
/** RFC 2131 section 3.1.5: "might retransmit the DHCPREQUEST message four times": 4 + 8 + 16 + 32 = 60 s. */
const REQUEST_ATTEMPTS_MAX = 4
/** Twice, then 4 + 8 s have passed and the network is likely another one. The old lease stays while it lasts. */
const REBOOT_ATTEMPTS_MAX = 2
/** RFC 2131 section 4.4.5: half of the remaining time, "down to a minimum of 60 seconds". */
const EXTENSION_RETRY_MS_MIN = 60_000
/** RFC 2131 section 3.1.5: "SHOULD wait a minimum of ten seconds before restarting". */
const DECLINE_PAUSE_MS = 10_000
/** RFC 2131 section 4.4.5: times "SHOULD be chosen with some random fuzz": T1 comes up to 5 % early. */
const RENEW_FUZZ = 0.05

/** No clause asks for it: a server with leases of a second must not make the client spin. */
const RENEW_INTERVAL_MS_MIN = 1_000

/**
 * The state to begin with: no carrier, no lease.
 *
 * @param seed - an integer; the same seed and events give the same messages
 */
export function initialState(seed: number): DhcpState {
  return {
    name: 'stopped',
    held: null,
    deadlineMs: Infinity,
    random: seed >>> 0,
    xid: 0,
    startedMs: 0,
    sentMs: 0,
    attempts: 0,
    offer: null,
    naks: 0,
  }
}

/** When the next `timer` event is due, `Infinity` for never. An earlier `timer` event does no harm. */
export function nextDeadlineMs(state: DhcpState): number {
  return Math.min(state.deadlineMs, state.held?.expiresAtMs ?? Infinity)
}

/**
 * Carries out one event. Never throws for anything a server sends: what cannot be used is reported as ignored.
 *
 * @param nowMs - time on any clock that does not jump; it must not run backwards between steps
 * @see https://www.rfc-editor.org/rfc/rfc2131#section-4.4
 */
export function step(identity: DhcpIdentity, state: DhcpState, event: DhcpEvent, nowMs: number): DhcpStep {
  const draft: Draft = { ...state, nowMs, actions: [], identity }
  expireHeld(draft)
  if (event.type === 'carrier-up') onCarrierUp(draft)
  else if (event.type === 'carrier-down') enter(draft, 'stopped', Infinity)
  else if (event.type === 'timer') onTimer(draft)
  else if (event.type === 'packet') onPacket(draft, event.packet)
  else if (event.type === 'conflict') onConflict(draft)
  else onRelease(draft)
  const { actions, nowMs: _now, identity: _identity, ...next } = draft
  return { state: next, actions }
}

function expireHeld(draft: Draft): void {
  if (draft.held === null || draft.nowMs < draft.held.expiresAtMs) return
  dropHeld(draft, 'expired')
  // The other states go on with what they do: they are about a new lease already.
  if (draft.name === 'bound' || draft.name === 'renewing' || draft.name === 'rebinding') startDiscover(draft)
}

function dropHeld(draft: Draft, reason: DeconfigureReason): void {
  if (draft.held === null) return
  draft.actions.push({ type: 'deconfigure', lease: draft.held.lease, reason })
  draft.held = null
}

function onCarrierUp(draft: Draft): void {
  if (draft.name !== 'stopped') return
  draft.naks = 0
  begin(draft)
  if (draft.held === null) {
    enter(draft, 'selecting', draft.nowMs)
    transmit(draft)
  } else {
    enter(draft, 'rebooting', draft.nowMs)
    transmit(draft)
  }
}

function onTimer(draft: Draft): void {
  if (draft.nowMs < draft.deadlineMs) return
  if (draft.name === 'init') return startDiscover(draft)
  if (draft.name === 'requesting' && draft.attempts >= REQUEST_ATTEMPTS_MAX) return startDiscover(draft)
  if (draft.name === 'rebooting' && draft.attempts >= REBOOT_ATTEMPTS_MAX) return startDiscover(draft)
  if (draft.name === 'bound') {
    begin(draft)
    enter(draft, 'renewing', draft.nowMs)
  } else if (draft.name === 'renewing' && draft.nowMs >= (draft.held?.rebindAtMs ?? 0)) {
    enter(draft, 'rebinding', draft.nowMs)
  }
  transmit(draft)
}

function onPacket(draft: Draft, packet: DhcpPacket): void {
  if (
    packet.op !== 2 ||
    packet.xid !== draft.xid ||
    !sameBytes(packet.chaddr, draft.identity.hardwareAddress)
  )
    return
  const type = messageType(packet)
  if (type === MESSAGE_TYPE.offer && draft.name === 'selecting') return onOffer(draft, packet)
  if (type === MESSAGE_TYPE.ack) return onAck(draft, packet)
  if (type === MESSAGE_TYPE.nak) return onNak(draft, packet)
}

function onOffer(draft: Draft, packet: DhcpPacket): void {
  const offer = readLease(packet)
  if (typeof offer === 'string') return ignore(draft, packet, `offer: ${offer}`)
  // The first usable offer is taken: to collect several (RFC 2131 section 4.4.1) would cost every boot a wait.
  draft.actions.push({ type: 'report', what: 'offer', server: offer.server, detail: offer.address })
  draft.offer = offer
  enter(draft, 'requesting', draft.nowMs)
  transmit(draft)
}

function onAck(draft: Draft, packet: DhcpPacket): void {
  const rapid =
    draft.name === 'selecting' &&
    draft.identity.rapidCommit === true &&
    packet.options.has(OPTION.rapidCommit)
  if (!rapid && !awaitsAnswer(draft)) return
  const lease = readLease(packet)
  if (typeof lease === 'string') return ignore(draft, packet, `ack: ${lease}`)
  if (draft.name === 'requesting' && lease.server !== draft.offer?.server) {
    return ignore(draft, packet, 'ack from a server that was not asked')
  }
  const expiresAtMs = draft.sentMs + lease.leaseSeconds * 1000
  if (expiresAtMs <= draft.nowMs) return ignore(draft, packet, 'ack: the lease was over before it arrived')
  const previous = draft.held?.lease ?? null
  const renewAtMs = draft.sentMs + lease.renewSeconds * 1000 * (1 - RENEW_FUZZ * random(draft))
  draft.held = {
    lease,
    renewAtMs: Math.max(renewAtMs, draft.nowMs + RENEW_INTERVAL_MS_MIN),
    rebindAtMs: draft.sentMs + lease.rebindSeconds * 1000,
    expiresAtMs,
  }
  draft.naks = 0
  enter(draft, 'bound', draft.held.renewAtMs)
  draft.actions.push({ type: 'configure', held: draft.held, previous })
}

function onNak(draft: Draft, packet: DhcpPacket): void {
  if (!awaitsAnswer(draft)) return
  const server = addressOption(packet, OPTION.serverIdentifier)
  // Only the server that was asked may refuse; after a change of network or in REBINDING any may.
  const asked = draft.name === 'requesting' ? draft.offer?.server : draft.held?.lease.server
  const anyServer = draft.name === 'rebooting' || draft.name === 'rebinding'
  if (!anyServer && server !== undefined && server !== asked) {
    return ignore(draft, packet, 'nak from a server that was not asked')
  }
  const text = new TextDecoder().decode(packet.options.get(OPTION.message) ?? new Uint8Array())
  draft.actions.push({
    type: 'report',
    what: 'nak',
    detail: text,
    ...(server === undefined ? {} : { server }),
  })
  dropHeld(draft, 'nak')
  draft.naks += 1
  // The first NAK is normal (another network): ask anew at once. A server that NAKs its own offers must not be
  // flooded: 1, 2, 4 … 64 s.
  if (draft.naks === 1) return startDiscover(draft)
  enter(draft, 'init', draft.nowMs + Math.min(1_000 * 2 ** (draft.naks - 2), RETRANSMIT_MS.max))
}

function onConflict(draft: Draft): void {
  if (draft.held === null) return
  const lease = draft.held.lease
  // RFC 2131 section 4.4.4: DECLINE is broadcast, and the address is not to be used as its source.
  const packet = decline(draft.identity, context(draft), lease)
  draft.actions.push({ type: 'send', packet, destination: '255.255.255.255', via: 'link' })
  dropHeld(draft, 'conflict')
  if (draft.name !== 'stopped') enter(draft, 'init', draft.nowMs + DECLINE_PAUSE_MS)
}

function onRelease(draft: Draft): void {
  if (draft.held !== null) {
    const lease = draft.held.lease
    begin(draft)
    if (draft.name !== 'stopped') {
      const packet = release(draft.identity, context(draft), lease)
      draft.actions.push({ type: 'send', packet, destination: lease.server, via: 'socket' })
    }
    dropHeld(draft, 'released')
  }
  enter(draft, 'stopped', Infinity)
}

function startDiscover(draft: Draft): void {
  begin(draft)
  enter(draft, 'selecting', draft.nowMs)
  transmit(draft)
}

/** A new transaction: its own number, `secs` from zero. */
function begin(draft: Draft): void {
  draft.startedMs = draft.nowMs
  draft.xid = Math.floor(random(draft) * 2 ** 32)
}

function enter(draft: Draft, name: DhcpStateName, deadlineMs: number): void {
  draft.name = name
  draft.deadlineMs = deadlineMs
  draft.attempts = 0
  if (name !== 'requesting') draft.offer = null
}

/** Sends the message that the state is about, and sets the time of the next one. */
function transmit(draft: Draft): void {
  const { name, identity } = draft
  const lease = draft.held?.lease
  const broadcast = { type: 'send', destination: '255.255.255.255' } as const
  if (name === 'selecting') {
    draft.actions.push({ ...broadcast, packet: discover(identity, context(draft)), via: 'link' })
  } else if (name === 'requesting' && draft.offer !== null) {
    draft.actions.push({
      ...broadcast,
      packet: requestOffer(identity, context(draft), draft.offer),
      via: 'link',
    })
  } else if (name === 'rebooting' && lease !== undefined) {
    draft.actions.push({ ...broadcast, packet: requestAgain(identity, context(draft), lease), via: 'link' })
  } else if (name === 'renewing' && lease !== undefined) {
    const packet = requestExtension(identity, context(draft), lease)
    draft.actions.push({ type: 'send', packet, destination: lease.server, via: 'socket' })
  } else if (name === 'rebinding' && lease !== undefined) {
    draft.actions.push({
      ...broadcast,
      packet: requestExtension(identity, context(draft), lease),
      via: 'socket',
    })
  } else {
    // Rebooting, but the lease ended while it waited: there is nothing to ask for again.
    if (name === 'rebooting') startDiscover(draft)
    return
  }
  draft.deadlineMs = nextTransmissionMs(draft)
  draft.sentMs = draft.nowMs
  draft.attempts += 1
}

function nextTransmissionMs(draft: Draft): number {
  const { held, nowMs } = draft
  if (draft.name === 'renewing' && held !== null) {
    const waitMs = Math.max((held.rebindAtMs - nowMs) / 2, EXTENSION_RETRY_MS_MIN)
    return Math.min(nowMs + waitMs, held.rebindAtMs)
  }
  if (draft.name === 'rebinding' && held !== null) {
    return nowMs + Math.max((held.expiresAtMs - nowMs) / 2, EXTENSION_RETRY_MS_MIN)
  }
  const baseMs = Math.min(RETRANSMIT_MS.first * 2 ** draft.attempts, RETRANSMIT_MS.max)
  return nowMs + baseMs + (random(draft) * 2 - 1) * RETRANSMIT_MS.jitter
}

function awaitsAnswer(draft: Draft): boolean {
  return ['requesting', 'rebooting', 'renewing', 'rebinding'].includes(draft.name)
}

function ignore(draft: Draft, packet: DhcpPacket, detail: string): void {
  const server = addressOption(packet, OPTION.serverIdentifier)
  draft.actions.push({ type: 'report', what: 'ignored', detail, ...(server === undefined ? {} : { server }) })
}

function context(draft: Draft): { xid: number; secs: number } {
  return { xid: draft.xid, secs: Math.floor((draft.nowMs - draft.startedMs) / 1000) }
}

function random(draft: Draft): number {
  const { state, value } = nextRandom(draft.random)
  draft.random = state
  return value
}

function sameBytes(left: Uint8Array, right: Uint8Array): boolean {
  return left.length === right.length && left.every((byte, index) => byte === right[index])
}
