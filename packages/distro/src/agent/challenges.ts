// What a client signs to log in: a number that was never used before. The device remembers nothing of those that it has
// given out, so that asking for them costs it no memory; it knows its own by a keyed hash, and remembers the used ones.
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'

/** How long one may take to sign, which for a hardware key means to touch it, in milliseconds. */
export const CHALLENGE_MS = 60_000

/** Used ones that are remembered at a time. Each cost a login, of which there are few a minute. */
const USED_MAX = 4096

const TIME_BYTES = 6
const RANDOM_BYTES = 16
const MAC_BYTES = 32

/** Gives challenges out, and takes each of its own once. */
export class Challenges {
  readonly #key = randomBytes(32)
  readonly #nowMs: () => number
  /** Used ones, with the time at which they expire; oldest first. */
  readonly #used = new Map<string, number>()

  /** @param nowMs - monotonic clock */
  constructor(nowMs: () => number) {
    this.#nowMs = nowMs
  }

  /** A new one. */
  issue(): string {
    const body = Buffer.alloc(TIME_BYTES + RANDOM_BYTES)
    body.writeUIntBE(Math.floor(this.#nowMs()), 0, TIME_BYTES)
    randomBytes(RANDOM_BYTES).copy(body, TIME_BYTES)
    return Buffer.concat([body, this.#mac(body)]).toString('base64url')
  }

  /** Takes one; false when it is not of ours, too old, or was taken before. */
  take(challenge: string): boolean {
    const bytes = Buffer.from(challenge, 'base64url')
    // One text for each: others that decode to the same bytes are not taken.
    if (bytes.length !== TIME_BYTES + RANDOM_BYTES + MAC_BYTES || bytes.toString('base64url') !== challenge)
      return false
    const body = bytes.subarray(0, TIME_BYTES + RANDOM_BYTES)
    if (!timingSafeEqual(bytes.subarray(body.length), this.#mac(body))) return false
    const nowMs = this.#nowMs()
    const expiresMs = body.readUIntBE(0, TIME_BYTES) + CHALLENGE_MS
    if (nowMs > expiresMs) return false
    this.#forgetExpired(nowMs)
    if (this.#used.has(challenge) || this.#used.size >= USED_MAX) return false
    this.#used.set(challenge, expiresMs)
    return true
  }

  #forgetExpired(nowMs: number): void {
    for (const [challenge, expiresMs] of this.#used) if (nowMs > expiresMs) this.#used.delete(challenge)
  }

  #mac(body: Uint8Array): Buffer {
    return createHmac('sha256', this.#key).update(body).digest()
  }
}
