// Logging in with an SSH key: the client signs a challenge, together with the certificate that it sees.
import { parsePublicKey, type SshPublicKey } from '@pkg/update/ssh-key'
import { verifySignature } from '@pkg/update/ssh-signature'
import type { Challenge, Credentials } from './bodies.ts'
import { Challenges, CHALLENGE_MS } from './challenges.ts'
import { RateLimit } from './rate-limit.ts'
import type { AgentKey } from './settings.ts'
import { SESSION_NAMESPACE, sessionMessage } from './session-message.ts'
import type { Role } from './roles.ts'
import { type Session, SESSION_IDLE_MS, Sessions } from './sessions.ts'

/** What a client gets. */
export type LoginResult =
  /** It is in. */
  | {
      readonly ok: true
      readonly token: string
      readonly key: string
      readonly role: Role
      readonly expiresInSeconds: number
    }
  /** It is not; `reason` tells the client no more than it may know, `detail` is for the device's log. */
  | { readonly ok: false; readonly reason: string; readonly detail: string }
  /** It tried too often. */
  | { readonly ok: false; readonly retryAfterSeconds: number }

/** Ten that fail at once, then one each six seconds: a person does not notice, and a flood costs no signatures. */
const LIMIT = { burst: 10, everyMs: 6000, addressesMax: 1024 }

/** Who may log in, and who has. */
export class Logins {
  readonly #keys: readonly SshPublicKey[]
  /** By fingerprint. */
  readonly #roles: ReadonlyMap<string, Role>
  readonly #fingerprint: string
  readonly #challenges: Challenges
  readonly #sessions: Sessions
  readonly #limit: RateLimit

  /**
   * @param keys - who may log in
   * @param fingerprint - of the device's certificate
   * @param nowMs - monotonic clock: a device's other clock may be set while people are logged in
   * @throws Error a key cannot be read
   */
  constructor(keys: readonly AgentKey[], fingerprint: string, nowMs: () => number) {
    this.#keys = keys.map(({ key }) => parsePublicKey(key))
    this.#roles = new Map(keys.map(({ key, role }) => [parsePublicKey(key).fingerprint, role]))
    this.#fingerprint = fingerprint
    this.#challenges = new Challenges(nowMs)
    this.#sessions = new Sessions(nowMs)
    this.#limit = new RateLimit({ ...LIMIT, nowMs })
  }

  /** A challenge, for one login. */
  challenge(): Challenge {
    return { challenge: this.#challenges.issue(), expiresInSeconds: CHALLENGE_MS / 1000 }
  }

  /** Opens a session for whoever holds one of the keys. */
  login({ challenge, signature }: Credentials, address: string): LoginResult {
    const waitMs = this.#limit.take(address)
    if (waitMs > 0) return { ok: false, retryAfterSeconds: Math.ceil(waitMs / 1000) }
    let key: string
    try {
      const message = sessionMessage(challenge, this.#fingerprint)
      const question = { message, signature, namespace: SESSION_NAMESPACE, keys: this.#keys }
      key = verifySignature(question).fingerprint
    } catch (error) {
      return { ok: false, reason: refusal, detail: error instanceof Error ? error.message : String(error) }
    }
    // After the signature, so that nobody else can use up the challenge of a client that is about to sign it.
    if (!this.#challenges.take(challenge)) {
      return { ok: false, reason: staleChallenge, detail: staleChallenge }
    }
    this.#limit.giveBack(address)
    const role = this.#roles.get(key) ?? 'observe'
    const token = this.#sessions.open({ key, role, address })
    return { ok: true, token, key, role, expiresInSeconds: SESSION_IDLE_MS / 1000 }
  }

  /** The session of an `Authorization` header; undefined without a valid one. */
  session(authorization: string | undefined, address: string): Session | undefined {
    const token = bearerToken(authorization)
    return token === undefined ? undefined : this.#sessions.find(token, address)
  }

  /** Ends the session of an `Authorization` header. */
  logout(authorization: string | undefined): void {
    const token = bearerToken(authorization)
    if (token !== undefined) this.#sessions.close(token)
  }
}

const refusal = 'the signature is not one of this challenge and this certificate by a key of the appliance'
const staleChallenge = 'the challenge is not of this device, too old, or was used before: ask for another'

/** @see https://www.rfc-editor.org/rfc/rfc6750#section-2.1 */
function bearerToken(authorization: string | undefined): string | undefined {
  return /^Bearer ([\w-]{43})$/i.exec(authorization ?? '')?.[1]
}
