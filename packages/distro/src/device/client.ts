// A device, as the `solo` command talks to it: over HTTPS with the one certificate that is trusted, logged in by an SSH
// key.
import type { ControlRequest } from '@pkg/init/control'
import type {
  Challenge,
  DeviceStatus,
  Failure,
  OpenedSession,
  UpdateState,
  WantsAnswer,
} from '../agent/bodies.ts'
import { SESSION_NAMESPACE, sessionMessage } from '../agent/session-message.ts'
import { SoloError } from '../error.ts'
import { signSsh } from '../ssh/sign.ts'
import type { ReleaseDocuments } from '@pkg/update/release'
import type { DeviceAddress } from './address.ts'
import type { DeviceCertificate } from './certificate.ts'

/** How long an answer may take; the device lets polls wait for half of this. */
const ANSWER_MS = 30_000

/** The device answered, and said no. */
export class DeviceRefused extends SoloError {
  override name = 'DeviceRefused'
  /** For programs: the check that was not passed, or a word such as `busy`. */
  readonly code: string

  constructor(device: string, { code, message }: Failure) {
    super(`${device}: ${message}`)
    this.code = code
  }
}

/** The device did not answer. */
export class DeviceAway extends SoloError {
  override name = 'DeviceAway'
}

/** What may be asked for with a word. */
export type DeviceCommand =
  | 'reboot'
  | 'force-reboot'
  | 'power-off'
  | Extract<ControlRequest['type'], 'commit' | 'rollback'>

/** A device that one talks to. */
export class DeviceClient {
  readonly #address: DeviceAddress
  readonly #certificate: DeviceCertificate
  readonly #key: string
  #token: string | null = null

  /**
   * @param certificate - the one that was trusted; any other ends a request before anything is sent
   * @param key - path of the SSH key, or of the public half of one that an agent or a token holds
   */
  constructor(address: DeviceAddress, certificate: DeviceCertificate, key: string) {
    this.#address = address
    this.#certificate = certificate
    this.#key = key
  }

  /** How the device is named in messages. */
  get name(): string {
    return this.#address.text
  }

  /** How it is. */
  async status(): Promise<DeviceStatus> {
    return await this.#json('GET', '/v1/status')
  }

  /** Asks for something as a whole. */
  async command(command: DeviceCommand): Promise<void> {
    await this.#ask('POST', `/v1/${command}`)
  }

  /** Asks for a factory reset. */
  async reset(appliance: string): Promise<void> {
    await this.#ask('POST', '/v1/factory-reset', JSON.stringify({ appliance }))
  }

  /** Begins an update. */
  async beginUpdate(documents: ReleaseDocuments): Promise<UpdateState> {
    return await this.#json('POST', '/v1/updates', JSON.stringify(documents))
  }

  /** Begins an update from a medium that is plugged into the device. */
  async beginUpdateFromStick(): Promise<UpdateState> {
    return await this.#json('POST', '/v1/updates/from-stick')
  }

  /** How an update stands. */
  async update(id: number): Promise<UpdateState> {
    return await this.#json('GET', `/v1/updates/${id}`)
  }

  /** Stops an update. */
  async cancelUpdate(id: number): Promise<void> {
    await this.#ask('DELETE', `/v1/updates/${id}`)
  }

  /** What an update wants next; waits for it some seconds. */
  async wants(id: number, after: number): Promise<WantsAnswer> {
    return await this.#json('GET', `/v1/updates/${id}/wants?after=${after}`)
  }

  /** Answers a want. */
  async answerWant(id: number, want: number, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    await this.#ask('PUT', `/v1/updates/${id}/wants/${want}`, bytes)
  }

  async #json<T>(method: string, path: string, body?: string): Promise<T> {
    return (await (await this.#ask(method, path, body)).json()) as T
  }

  /** Asks as who is logged in; a session that is over is opened anew. */
  async #ask(method: string, path: string, body?: string | Uint8Array<ArrayBuffer>): Promise<Response> {
    const token = this.#token ?? (await this.#login())
    const response = await this.#fetch(method, path, body, token)
    if (response.status !== 401) return await this.#checked(response)
    return await this.#checked(await this.#fetch(method, path, body, await this.#login()))
  }

  async #login(): Promise<string> {
    const challenge = await this.#checked(await this.#fetch('GET', '/v1/challenge'))
    const { challenge: text } = (await challenge.json()) as Challenge
    const message = sessionMessage(text, this.#certificate.fingerprint)
    const signature = await signSsh({ message, namespace: SESSION_NAMESPACE, key: this.#key })
    const body = JSON.stringify({ challenge: text, signature })
    const session = await this.#checked(await this.#fetch('POST', '/v1/session', body))
    const { token } = (await session.json()) as OpenedSession
    this.#token = token
    return token
  }

  async #checked(response: Response): Promise<Response> {
    if (response.ok) return response
    const text = await response.text()
    let failure: Failure = { code: String(response.status), message: `status ${response.status}` }
    try {
      failure = JSON.parse(text) as Failure
    } catch {
      // Not the agent's own answer: its status is all there is.
    }
    throw new DeviceRefused(this.name, failure)
  }

  async #fetch(
    method: string,
    path: string,
    body?: string | Uint8Array<ArrayBuffer>,
    token?: string,
  ): Promise<Response> {
    const type = typeof body === 'string' ? 'application/json' : 'application/octet-stream'
    try {
      return await fetch(`https://${this.#address.text}${path}`, {
        method,
        ...(body === undefined ? {} : { body }),
        headers: {
          ...(body === undefined ? {} : { 'content-type': type }),
          ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        },
        redirect: 'error',
        signal: AbortSignal.timeout(ANSWER_MS),
        // The certificate vouches for itself, whatever name the device goes by: it is this one or none.
        tls: { ca: this.#certificate.pem, checkServerIdentity: () => undefined },
      })
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause)
      throw new DeviceAway(`${this.name}: no answer: ${why}`, { cause })
    }
  }
}
