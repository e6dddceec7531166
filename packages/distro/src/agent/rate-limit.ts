// How often one address may try to log in: a bucket of tries for each, which fills again with time.

/** A limit. */
export interface RateLimitOptions {
  /** So many tries at once. */
  readonly burst: number
  /** A try comes back each so many milliseconds. */
  readonly everyMs: number
  /** So many addresses are remembered; the one that tried longest ago is forgotten first. */
  readonly addressesMax: number
  /** Monotonic clock. */
  readonly nowMs: () => number
}

interface Bucket {
  readonly left: number
  readonly atMs: number
}

/** Counts tries by address, within bounded memory. */
export class RateLimit {
  readonly #options: RateLimitOptions
  /** In the order of their last tries. */
  readonly #buckets = new Map<string, Bucket>()

  constructor(options: RateLimitOptions) {
    this.#options = options
  }

  /** Gives a try back that was none: only those that fail are limited. */
  giveBack(address: string): void {
    const key = network(address)
    const bucket = this.#buckets.get(key)
    if (bucket !== undefined) this.#buckets.set(key, { ...bucket, left: bucket.left + 1 })
  }

  /**
   * Takes a try of an address.
   *
   * @returns 0 when it may try, else in how many milliseconds it may again
   */
  take(address: string): number {
    const { burst, everyMs, addressesMax, nowMs } = this.#options
    const key = network(address)
    const now = nowMs()
    const { left, atMs } = this.#buckets.get(key) ?? { left: burst, atMs: now }
    const filled = Math.min(burst, left + (now - atMs) / everyMs)
    const isAllowed = filled >= 1
    this.#buckets.delete(key)
    this.#buckets.set(key, { left: isAllowed ? filled - 1 : filled, atMs: now })
    for (const oldest of this.#buckets.keys()) {
      if (this.#buckets.size <= addressesMax) break
      this.#buckets.delete(oldest)
    }
    return isAllowed ? 0 : Math.ceil((1 - filled) * everyMs)
  }
}

/**
 * Whom an address belongs to: itself for IPv4; for IPv6 its first 64 bits, since a host chooses the others as it likes.
 *
 * @see https://www.rfc-editor.org/rfc/rfc4291#section-2.5.1
 */
export function network(address: string): string {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)
  if (mapped?.[1] !== undefined) return mapped[1]
  if (!address.includes(':')) return address
  const [head = '', tail] = address.split('::')
  const groups = (part: string): string[] => (part === '' ? [] : part.split(':'))
  const before = groups(head)
  const after = tail === undefined ? [] : groups(tail)
  const zeros = tail === undefined ? 0 : 8 - before.length - after.length
  return [...before, ...Array.from({ length: zeros }, () => '0'), ...after].slice(0, 4).join(':')
}
