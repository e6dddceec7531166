// Requests to a registry, with the authorization that it asks for.
//
// @see https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md
// @see https://distribution.github.io/distribution/spec/auth/token/
import { z } from 'zod'
import { SourceError } from '../source.ts'
import { asItIs, basic, gather, shown } from './http.ts'

/** Who asks. */
export interface RegistryCredentials {
  /** The user's name. */
  readonly username: string
  /** The password, or a token that the registry takes in its place. */
  readonly password: string
}

/** Which registry, for what. */
export interface RegistryClientOptions {
  readonly registry: URL
  readonly repository: string
  readonly credentials?: RegistryCredentials | undefined
  readonly actions: 'pull' | 'pull,push'
}

/** A token has a few kilobytes. */
const tokenBytesMax = 64 * 1024

const tokenSchema = z.union([z.object({ token: z.string() }), z.object({ access_token: z.string() })])

/** Sends requests, and answers the registry's question who asks. */
export class RegistryClient {
  readonly #options: RegistryClientOptions
  #authorization: string | undefined

  constructor(options: RegistryClientOptions) {
    this.#options = options
  }

  /** A URL of the repository: `blobs/sha256:…`. */
  url(path: string): URL {
    return new URL(`v2/${this.#options.repository}/${path}`, this.#options.registry)
  }

  /** Sends a request, and sends it again with authorization when the registry asks for one. */
  async send(url: URL, init: RequestInit): Promise<Response> {
    const first = await this.#sendOnce(url, init)
    if (first.status !== 401) return first
    await first.body?.cancel()
    this.#authorization = await this.#authorize(first.headers.get('www-authenticate') ?? '', init.signal)
    return await this.#sendOnce(url, init)
  }

  async #sendOnce(url: URL, init: RequestInit): Promise<Response> {
    // Uploads may go on at another server: it does not get to know what this one does.
    const isOurs = url.origin === this.#options.registry.origin
    const headers = new Headers(init.headers)
    if (isOurs && this.#authorization !== undefined) headers.set('authorization', this.#authorization)
    return await fetch(url, { ...init, headers })
  }

  async #authorize(challenge: string, signal: AbortSignal | null | undefined): Promise<string> {
    const { credentials, registry } = this.#options
    const [scheme = ''] = challenge.split(' ', 1)
    if (scheme.toLowerCase() === 'basic' && credentials !== undefined) {
      return basic(credentials.username, credentials.password)
    }
    if (scheme.toLowerCase() !== 'bearer') {
      throw new SourceError(
        `${shown(registry)}: the registry wants to know who asks (${scheme || 'in no known way'})`,
      )
    }
    return await this.#token(challenge, signal)
  }

  async #token(challenge: string, signal: AbortSignal | null | undefined): Promise<string> {
    const { credentials, registry, repository, actions } = this.#options
    const parameters = new Map(
      [...challenge.matchAll(/(\w+)="([^"]*)"/g)].map(([, key = '', value = '']) => [key, value]),
    )
    const realm = URL.parse(parameters.get('realm') ?? '')
    if (realm === null || (realm.protocol !== 'https:' && realm.protocol !== registry.protocol)) {
      throw new SourceError(`${shown(registry)}: the registry names no safe place to get a token from`)
    }
    const service = parameters.get('service')
    if (service !== undefined) realm.searchParams.set('service', service)
    realm.searchParams.set('scope', `repository:${repository}:${actions}`)
    const headers = {
      ...asItIs.headers,
      ...(credentials === undefined
        ? {}
        : { authorization: basic(credentials.username, credentials.password) }),
    }
    const init = { ...asItIs, headers, signal: signal ?? null, redirect: 'error' } as const
    const response = await fetch(realm, init)
    if (!response.ok) {
      await response.body?.cancel()
      throw new SourceError(
        `${shown(realm)}: no token for ${repository} (${actions}): it answered ${response.status}`,
      )
    }
    const bytes = response.body === null ? new Uint8Array() : await gather(response.body, tokenBytesMax)
    if (bytes === null) {
      throw new SourceError(
        `${shown(realm)}: it gave more than the ${tokenBytesMax} bytes that a token may have`,
      )
    }
    const token = tokenSchema.safeParse(jsonOf(new TextDecoder().decode(bytes))).data
    if (token === undefined) throw new SourceError(`${shown(realm)}: it gave no token`)
    return `Bearer ${'token' in token ? token.token : token.access_token}`
  }
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
