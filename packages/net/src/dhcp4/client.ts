// The shell around the machine: carries out its actions through sockets, rtnetlink and files, and feeds it events.
import { CLOCK_BOOTTIME, EPOLLIN } from '@pkg/sys/constants'
import { reactor } from '@pkg/sys/reactor'
import { sethostname } from '@pkg/sys/system'
import { clock_gettime } from '@pkg/sys/time'
import type { Link, LinkEvent } from '../link.ts'
import { setLink } from '../link.ts'
import { openRtnetlink } from '../netlink.ts'
import { writeResolvConf } from '../resolv-conf.ts'
import { applyLease, removeLease } from './apply.ts'
import type { Dhcp4Event, Dhcp4Options } from './events.ts'
import { initialState, nextDeadlineMs, step } from './machine.ts'
import type { DhcpAction, DhcpEvent, DhcpState } from './machine.ts'
import type { DhcpIdentity } from './messages.ts'
import type { Lease } from './options.ts'
import { decodeDhcp, DhcpFormatError, encodeDhcp, type DhcpPacket } from './packet.ts'
import { openAddressSocket, openLinkSocket, type DhcpSocket } from './socket.ts'

type ClientOptions = Omit<Dhcp4Options, 'signal'>
type OpenSocket = DhcpSocket & { watch: Disposable }

/** setTimeout takes 31 bits of milliseconds, 24.8 days; leases can be longer. A timer that comes early does no harm. */
const TIMEOUT_MS_MAX = 2 ** 31 - 1
/** A flood on the link must not keep the event loop: the rest is read at the next wake-up. */
const PACKETS_PER_WAKEUP_MAX = 64

/** One client on one link. Events go through a queue, so that an action which fails can be an event itself. */
export class Dhcp4Client {
  readonly #options: ClientOptions
  readonly #onFailure: (error: unknown) => void
  readonly #queue: DhcpEvent[] = []
  /** Told when the packets are out: a caller who writes to a slow console must not hold them up. */
  readonly #outbox: Dhcp4Event[] = []
  readonly #sockets: { link: OpenSocket | null; address: OpenSocket | null } = { link: null, address: null }
  #state: DhcpState
  #link: Link | null = null
  #carrierAtMs = 0
  #timer: ReturnType<typeof setTimeout> | null = null
  #busy = false
  #resolvConfWritten: Promise<void> = Promise.resolve()

  /** @param onFailure - told of an error that the client cannot go on from */
  constructor(options: ClientOptions, onFailure: (error: unknown) => void) {
    this.#options = options
    this.#onFailure = onFailure
    this.#state = initialState(options.seed ?? crypto.getRandomValues(new Uint32Array(1))[0] ?? 0)
  }

  /** Whether `link` is the one: by name at first, then by index, so that a rename does not lose it. */
  isMine(link: Link): boolean {
    return this.#link === null ? link.name === this.#options.link : link.index === this.#link.index
  }

  /** Tells the client what happened to its link. */
  onLink({ type, link }: LinkEvent): void {
    const before = this.#link
    if (type === 'removed') this.#forgetLink()
    else this.#link = link
    if (before === null && type === 'changed') {
      if (!link.up) this.#switchOn(link)
      // While the link finds its carrier: then nothing is left to do but send.
      this.#socket('link')
    }
    const hadCarrier = before?.carrier === true
    const hasCarrier = type === 'changed' && link.carrier
    // Out and in again so quickly that the kernel made one event of it: the other end may be another network.
    const flickered = hadCarrier && hasCarrier && link.carrierUpCount !== before.carrierUpCount
    if (hadCarrier && (!hasCarrier || flickered)) this.#onCarrier(link, false)
    if (hasCarrier && (!hadCarrier || flickered)) this.#onCarrier(link, true)
  }

  /** Stops: closes the sockets; with `release` gives the lease back and unconfigures the link. */
  async stop(): Promise<void> {
    if (this.#options.release) this.#dispatch({ type: 'release' })
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#closeSocket('link')
    this.#closeSocket('address')
    await this.#resolvConfWritten
  }

  #onCarrier(link: Link, carrier: boolean): void {
    if (carrier) this.#carrierAtMs = nowMs()
    this.#outbox.push({ type: 'carrier', link: link.name, carrier })
    this.#dispatch({ type: carrier ? 'carrier-up' : 'carrier-down' })
  }

  #forgetLink(): void {
    this.#link = null
    this.#closeSocket('link')
    this.#closeSocket('address')
  }

  #switchOn(link: Link): void {
    using rt = openRtnetlink()
    setLink(rt, link.index, { up: true })
  }

  #dispatch(event: DhcpEvent): void {
    this.#queue.push(event)
    if (this.#busy) return
    this.#busy = true
    try {
      for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) this.#step(next)
      this.#closeUnused()
      this.#armTimer()
      this.#flush()
    } catch (error) {
      this.#onFailure(error)
    } finally {
      this.#busy = false
    }
  }

  #step(event: DhcpEvent): void {
    const identity = this.#identity()
    const before = this.#state.name
    const { state, actions } = step(identity, this.#state, event, nowMs())
    this.#state = state
    for (const action of actions) this.#perform(action)
    if (state.name !== before)
      this.#emit({ type: 'state', link: this.#options.link, from: before, to: state.name })
  }

  #identity(): DhcpIdentity {
    const link = this.#link
    const htype = link?.type ?? 1
    const hardwareAddress = link?.address ?? new Uint8Array()
    // RFC 2132 section 9.14: type and hardware address, what servers expect from one who has no better name.
    const clientId = this.#options.clientId ?? Uint8Array.of(htype & 0xff, ...hardwareAddress)
    return {
      htype,
      hardwareAddress,
      clientId,
      ...(this.#options.hostname === undefined ? {} : { hostname: this.#options.hostname }),
      ...(this.#options.rapidCommit === undefined ? {} : { rapidCommit: this.#options.rapidCommit }),
    }
  }

  #perform(action: DhcpAction): void {
    const link = this.#options.link
    switch (action.type) {
      case 'send':
        return this.#send(action.packet, action.destination, action.via === 'link' ? 'link' : 'address')
      case 'configure':
        return this.#configure(action)
      case 'deconfigure':
        return this.#deconfigure(action)
      case 'report': {
        const { what, detail, server } = action
        return this.#emit({ type: what, link, detail, ...(server === undefined ? {} : { server }) })
      }
    }
  }

  #send(packet: DhcpPacket, destination: string, kind: 'link' | 'address'): void {
    try {
      this.#socket(kind).send(encodeDhcp(packet), destination)
    } catch (error) {
      // Lost like a packet on the wire; the machine sends again at its time.
      this.#problem(error)
    }
  }

  #configure({ held, previous }: DhcpAction & { type: 'configure' }): void {
    const { lease } = held
    const link = this.#link
    if (link === null) return
    const receivedAtMs = nowMs()
    try {
      using rt = openRtnetlink()
      applyLease(rt, {
        linkIndex: link.index,
        lease,
        previous,
        remainingSeconds: (held.expiresAtMs - receivedAtMs) / 1000,
        metric: this.#options.metric ?? defaultMetric(link.index),
        onProblem: (error) => this.#problem(error),
      })
    } catch (error) {
      this.#problem(error)
      return this.#dispatch({ type: 'conflict' })
    }
    if (this.#options.applyHostname && lease.hostname !== undefined) this.#applyHostname(lease.hostname)
    this.#writeResolvConf(lease)
    this.#emit({
      type: 'lease',
      link: link.name,
      lease,
      renewed: previous?.address === lease.address,
      sinceCarrierMs: receivedAtMs - this.#carrierAtMs,
      configureMs: nowMs() - receivedAtMs,
    })
  }

  #deconfigure({ lease, reason }: DhcpAction & { type: 'deconfigure' }): void {
    if (this.#link !== null) {
      try {
        using rt = openRtnetlink()
        removeLease(rt, this.#link.index, lease)
      } catch (error) {
        this.#problem(error)
      }
    }
    this.#emit({ type: 'lost', link: this.#options.link, lease, reason })
  }

  #applyHostname(name: string): void {
    try {
      sethostname(name)
    } catch (error) {
      this.#problem(error)
    }
  }

  /** Files may be slow: the write goes on beside, each after the one before. */
  #writeResolvConf(lease: Lease): void {
    const path = this.#options.resolvConf ?? '/etc/resolv.conf'
    if (path === false || lease.nameservers.length === 0) return
    const domain = lease.domainName === undefined ? [] : [lease.domainName]
    const search = lease.domainSearch.length > 0 ? lease.domainSearch : domain
    const { nameservers } = lease
    this.#resolvConfWritten = this.#resolvConfWritten
      .then(() => writeResolvConf(path, { nameservers, search }))
      .catch((error: unknown) => this.#problem(error))
  }

  #socket(kind: 'link' | 'address'): OpenSocket {
    const open = this.#sockets[kind]
    if (open !== null) return open
    const link = this.#link
    if (link === null) throw new Error(`${this.#options.link}: the link is gone`)
    const socket = kind === 'link' ? openLinkSocket(link.index) : openAddressSocket(link.name)
    const watch = reactor().watch(socket.fd, EPOLLIN, () => this.#receive(kind))
    const opened = { ...socket, watch }
    this.#sockets[kind] = opened
    return opened
  }

  #receive(kind: 'link' | 'address'): void {
    try {
      for (let count = 0; count < PACKETS_PER_WAKEUP_MAX; count++) {
        const bytes = this.#sockets[kind]?.receive() ?? null
        if (bytes === null) return
        const packet = readPacket(bytes)
        if (packet === null)
          this.#emit({ type: 'ignored', link: this.#options.link, detail: 'not a DHCP message' })
        else this.#dispatch({ type: 'packet', packet })
      }
    } catch (error) {
      this.#onFailure(error)
    }
  }

  /** The packet socket sees every DHCP answer of the link: it is closed while the lease is in use. */
  #closeUnused(): void {
    const { name } = this.#state
    const isBound = name === 'bound' || name === 'renewing' || name === 'rebinding'
    if (isBound) this.#closeSocket('link')
    if (!isBound || name === 'bound') this.#closeSocket('address')
  }

  #closeSocket(kind: 'link' | 'address'): void {
    const open = this.#sockets[kind]
    if (open === null) return
    this.#sockets[kind] = null
    open.watch[Symbol.dispose]()
    open.fd.close()
  }

  #armTimer(): void {
    if (this.#timer !== null) clearTimeout(this.#timer)
    const deadlineMs = nextDeadlineMs(this.#state)
    this.#timer = null
    if (deadlineMs === Infinity) return
    const delayMs = Math.min(Math.max(0, Math.ceil(deadlineMs - nowMs())), TIMEOUT_MS_MAX)
    this.#timer = setTimeout(() => this.#dispatch({ type: 'timer' }), delayMs)
  }

  #problem(error: unknown): void {
    const reason = error instanceof Error ? error : new Error(String(error))
    this.#emit({ type: 'problem', link: this.#options.link, error: reason })
  }

  #emit(event: Dhcp4Event): void {
    this.#outbox.push(event)
    if (!this.#busy) this.#flush()
  }

  #flush(): void {
    for (let event = this.#outbox.shift(); event !== undefined; event = this.#outbox.shift()) {
      this.#options.onEvent?.(event)
    }
  }
}

/**
 * Two links must not share a metric, or the default route of one would replace the other's; the link that came first
 * wins. dhcpcd does it this way, too.
 */
function defaultMetric(linkIndex: number): number {
  return 1_000 + linkIndex
}

function readPacket(bytes: Uint8Array): DhcpPacket | null {
  try {
    return decodeDhcp(bytes)
  } catch (error) {
    if (error instanceof DhcpFormatError) return null
    throw error
  }
}

/** CLOCK_BOOTTIME goes on while the machine sleeps, as the server's clock does. */
function nowMs(): number {
  return Number(clock_gettime(CLOCK_BOOTTIME)) / 1e6
}
