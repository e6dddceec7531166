/**
 * A private network between guests: an Ethernet switch in this process. It needs no root, no bridge and no port of
 * the host; nothing of it is visible outside, and nothing of it is left afterwards.
 */
import type { Duplex } from 'node:stream'
import { seededRandom, type Random } from './faults/random.ts'
import { MacTable } from './network/mac-table.ts'
import { PcapFile } from './network/pcap.ts'
import { SwitchPort, type NetworkPort } from './network/port.ts'

export type { CableFaults } from './network/cable.ts'
export { NetworkStreamError } from './network/frames.ts'
export type { NetworkPort, PortCounters } from './network/port.ts'

/** Options of {@link privateNetwork}. */
export interface PrivateNetworkOptions {
  /**
   * Path of a pcap file that gets every frame which reaches the switch, once, with the host's time. An existing file
   * is overwritten. Default: no capture.
   */
  capture?: string
  /** Fixes which frames a lossy cable loses. Default 0. */
  seed?: string | number
  /** How many bytes may wait for a guest that does not read, and be under way on a slow cable. Default 4 MiB. */
  queueLimitBytes?: number
}

/** Options of {@link PrivateNetwork.connect}. */
export interface ConnectOptions {
  /** A name for messages and for you. Default `port0`, `port1`, … */
  name?: string
}

/** A learning Ethernet switch. Made by {@link privateNetwork}. */
export class PrivateNetwork implements Disposable {
  readonly #ports = new Set<SwitchPort>()
  readonly #stations = new MacTable<SwitchPort>()
  readonly #random: Random
  readonly #queueLimitBytes: number
  readonly #capture: PcapFile | undefined
  #groups = new Map<NetworkPort, number>()
  #captureError: NodeJS.ErrnoException | undefined
  #connectedCount = 0
  #closed = false

  constructor(options: PrivateNetworkOptions = {}) {
    const queueLimitBytes = options.queueLimitBytes ?? 4 << 20
    if (!Number.isInteger(queueLimitBytes) || queueLimitBytes < 1)
      throw new RangeError(`queueLimitBytes: ${String(queueLimitBytes)} is not a whole number above 0`)
    this.#queueLimitBytes = queueLimitBytes
    this.#random = seededRandom(options.seed ?? 0)
    this.#capture = options.capture === undefined ? undefined : new PcapFile(options.capture)
  }

  /** The ports whose guests are there, in the order of their connection. */
  get ports(): readonly NetworkPort[] {
    return [...this.#ports]
  }

  /** Why the capture file is not whole (the disk was full); undefined while all is well. The network goes on. */
  get captureError(): NodeJS.ErrnoException | undefined {
    return this.#captureError
  }

  /**
   * Connects a guest: `stream` carries Ethernet frames in both directions, each after its length in four bytes, most
   * significant first. That is what QEMU's `-netdev stream,addr.type=fd` and `-netdev socket,fd=` speak on an
   * inherited socket, which an extra `'pipe'` of `child_process.spawn` is. The stream is the port's from now on.
   *
   * @throws TypeError the network is closed
   */
  connect(stream: Duplex, options: ConnectOptions = {}): NetworkPort {
    if (this.#closed) throw new TypeError('the network is closed')
    const port: SwitchPort = new SwitchPort({
      name: options.name ?? `port${this.#connectedCount}`,
      stream,
      random: this.#random,
      queueLimitBytes: this.#queueLimitBytes,
      onFrame: (frame) => this.#forward(frame, port),
      onForget: (gone) => {
        this.#stations.forget(port)
        if (gone) this.#ports.delete(port)
      },
    })
    this.#connectedCount += 1
    this.#ports.add(port)
    return port
  }

  /**
   * Splits the network: ports of one group hear each other, and nobody else. The ports that no group names are a
   * group of their own, as are those that are connected later. A second call replaces the first.
   *
   * @throws TypeError a port is in two groups
   */
  partition(...groups: (readonly NetworkPort[])[]): void {
    const numbers = new Map<NetworkPort, number>()
    for (const [index, ports] of groups.entries())
      for (const port of ports) {
        if (numbers.has(port)) throw new TypeError(`partition: ${port.name} is there twice`)
        numbers.set(port, index)
      }
    this.#groups = numbers
  }

  /** Ends a {@link PrivateNetwork.partition}. */
  heal(): void {
    this.#groups = new Map()
  }

  /** Disconnects everyone and closes the capture. The guests go on without a network. */
  [Symbol.dispose](): void {
    this.#closed = true
    for (const port of this.#ports) port[Symbol.dispose]()
    this.#capture?.[Symbol.dispose]()
  }

  #forward(frame: Uint8Array, source: SwitchPort): void {
    this.#record(frame)
    this.#stations.learn(frame, source)
    const destination = this.#stations.find(frame)
    const candidates = destination === undefined ? this.#ports : [destination]
    for (const port of candidates) if (port !== source && this.#joined(source, port)) port.send(frame)
  }

  #joined(one: NetworkPort, other: NetworkPort): boolean {
    return this.#groups.get(one) === this.#groups.get(other)
  }

  #record(frame: Uint8Array): void {
    if (this.#captureError) return
    try {
      this.#capture?.add(frame)
    } catch (error) {
      this.#captureError = error as Error
    }
  }
}

/**
 * Makes a network that guests can be connected to. It lives until it is disposed of; the guests may come and go.
 *
 * @throws Error the capture file cannot be created
 *
 * @example
 * ```ts no-run
 * import { privateNetwork } from '@pkg/vm/network'
 *
 * using network = privateNetwork({ capture: 'traffic.pcap' })
 * // Give `network` to two guests, then make their life hard:
 * const [first, second] = network.ports
 * first?.setFaults({ lossRatio: 0.1, delayMs: 20 })
 * second?.unplug()
 * ```
 */
export function privateNetwork(options: PrivateNetworkOptions = {}): PrivateNetwork {
  return new PrivateNetwork(options)
}
