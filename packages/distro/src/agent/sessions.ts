// Who is logged in: tokens that are worth something for minutes, from one address, until the agent ends.
import { createHash, randomBytes } from 'node:crypto'
import type { Role } from './roles.ts'

/** A session that is not used for so long ends, in milliseconds. */
export const SESSION_IDLE_MS: number = 10 * 60_000

/** None lasts longer than this, used or not, in milliseconds. */
const SESSION_MS = 60 * 60_000

/** Sessions at a time; the one that was opened first gives way to one more. */
const SESSIONS_MAX = 64

/** Who a request is from. */
export interface Session {
  /** Fingerprint of the key that logged in. */
  readonly key: string
  /** What it may do. */
  readonly role: Role
  /** Address that it logged in from. */
  readonly address: string
}

interface OpenSession extends Session {
  readonly openedMs: number
  usedMs: number
}

/** The sessions that are open. Tokens are kept as hashes only. */
export class Sessions {
  readonly #nowMs: () => number
  readonly #byHash = new Map<string, OpenSession>()

  /** @param nowMs - monotonic clock */
  constructor(nowMs: () => number) {
    this.#nowMs = nowMs
  }

  /** Opens a session and gives its token. */
  open(session: Session): string {
    const nowMs = this.#nowMs()
    for (const [hash, open] of this.#byHash) if (isOver(open, nowMs)) this.#byHash.delete(hash)
    for (const oldest of this.#byHash.keys()) {
      if (this.#byHash.size < SESSIONS_MAX) break
      this.#byHash.delete(oldest)
    }
    const token = randomBytes(32).toString('base64url')
    this.#byHash.set(hashOf(token), { ...session, openedMs: nowMs, usedMs: nowMs })
    return token
  }

  /**
   * The session of a token, if it is used from the address that it was given to. It is found by the token's hash: how
   * long that takes tells nothing about a token that one does not have.
   */
  find(token: string, address: string): Session | undefined {
    const open = this.#byHash.get(hashOf(token))
    const nowMs = this.#nowMs()
    if (open === undefined || open.address !== address || isOver(open, nowMs)) return undefined
    open.usedMs = nowMs
    return open
  }

  /** Ends a session. */
  close(token: string): void {
    this.#byHash.delete(hashOf(token))
  }
}

function isOver({ openedMs, usedMs }: OpenSession, nowMs: number): boolean {
  return nowMs - usedMs > SESSION_IDLE_MS || nowMs - openedMs > SESSION_MS
}

function hashOf(token: string): string {
  return createHash('sha256').update(token).digest('hex')
}
