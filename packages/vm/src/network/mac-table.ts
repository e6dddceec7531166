/** Where each station was heard last: what makes a switch of a hub. */

/** Most home and office switches have room for 4,096 to 16,384 addresses; a flood of forged ones must not fill memory. */
const STATIONS_MAX = 4_096

/** Which port leads to which MAC address. Beyond its room the address that has been silent for longest is forgotten. */
export class MacTable<Port> {
  readonly #ports = new Map<string, Port>()

  /** The station that sent `frame` is behind `port`. */
  learn(frame: Uint8Array, port: Port): void {
    if (isGroup(frame, 6)) return
    const key = addressKey(frame, 6)
    // Deleted first: a Map keeps the order of insertion, and so the first key is the oldest.
    this.#ports.delete(key)
    this.#ports.set(key, port)
    if (this.#ports.size <= STATIONS_MAX) return
    const [oldest] = this.#ports.keys()
    if (oldest !== undefined) this.#ports.delete(oldest)
  }

  /** The port of the station that `frame` is for; undefined for a broadcast, a multicast and an unknown station. */
  find(frame: Uint8Array): Port | undefined {
    return isGroup(frame, 0) ? undefined : this.#ports.get(addressKey(frame, 0))
  }

  /** Forgets the stations behind `port`. */
  forget(port: Port): void {
    for (const [key, known] of this.#ports) if (known === port) this.#ports.delete(key)
  }
}

/** The I/G bit: the first one on the wire, so the lowest of the first byte (IEEE 802.3, 3.2.3). */
function isGroup(frame: Uint8Array, offset: number): boolean {
  return ((frame[offset] ?? 0) & 1) === 1
}

function addressKey(frame: Uint8Array, offset: number): string {
  return String.fromCharCode(...frame.subarray(offset, offset + 6))
}
