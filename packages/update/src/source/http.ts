// HTTP as blobs and documents need it: ranges, bounds, and going on where a connection died. What comes is not trusted.
import { setTimeout } from 'node:timers/promises'
import { UpdateRefused } from '../refused.ts'
import { SourceError } from '../source.ts'
import { Pace } from './pace.ts'

/** How servers are asked. */
export interface HttpOptions {
  /** Sent with each request. */
  readonly headers?: Readonly<Record<string, string>>
  /** So long may a server give nothing, in milliseconds. Default: 30,000. */
  readonly stallTimeoutMs?: number
  /** So long may a document take as a whole, in milliseconds. Default: 60,000. */
  readonly documentTimeoutMs?: number
  /** A server that gives less than a KiB a second over so long is given up, in milliseconds. Default: 120,000. */
  readonly slowTimeoutMs?: number
  /** How often something is asked for again after it failed without progress. Default: 3. */
  readonly retries?: number
  /** The wait before the first of these, in milliseconds; each next one is twice as long. Default: 500. */
  readonly retryDelayMs?: number
}

/** Sends a request; what a registry wraps to add its authorization. */
export type Send = (url: URL, init: RequestInit) => Promise<Response>

/** A part of what is at a URL. */
export interface Part {
  readonly url: URL
  readonly offset: number
  readonly length: number
}

/** Answers that another try may change. @see https://www.rfc-editor.org/rfc/rfc9110#section-15 */
const transientStatus = new Set([408, 425, 429, 500, 502, 503, 504])

/**
 * How something is asked for as it is: a part of what is compressed on the way would be a part of other bytes, and a
 * little that is compressed may be very much.
 */
export const asItIs = { headers: { 'accept-encoding': 'identity' }, decompress: false } as const

/** Less than this is no progress: a server that gives a byte and dies would be asked for ever. */
const progressBytes = 64 * 1024

/** What another try does not change. */
class PermanentError extends SourceError {
  override name = 'SourceError'
}

/** A client of one server. */
export class HttpReader {
  readonly #send: Send
  readonly #stallTimeoutMs: number
  readonly #documentTimeoutMs: number
  readonly #retries: number
  readonly #retryDelayMs: number
  /** Of all parts together: on a slow line one may have to wait for others. */
  readonly #pace: Pace

  constructor(options: HttpOptions = {}, send: Send = sendPlainly) {
    const { headers = {} } = options
    this.#send = (url, init) => send(url, { ...init, headers: { ...headers, ...headersOf(init) } })
    this.#stallTimeoutMs = options.stallTimeoutMs ?? 30_000
    this.#documentTimeoutMs = options.documentTimeoutMs ?? 60_000
    this.#pace = new Pace(options.slowTimeoutMs ?? 120_000)
    this.#retries = options.retries ?? 3
    this.#retryDelayMs = options.retryDelayMs ?? 500
  }

  /**
   * A part of a file. A connection that dies is made anew for what is missing.
   *
   * @throws SourceError
   */
  async *part({ url, offset, length }: Part, signal?: AbortSignal): AsyncGenerator<Uint8Array> {
    let done = 0
    for (let failures = 0; done < length;) {
      const before = done
      try {
        for await (const chunk of this.#range(
          { url, offset: offset + done, length: length - done },
          signal,
        )) {
          done += chunk.length
          yield chunk
        }
        if (done < length) throw new SourceError(`${shown(url)}: ended after ${offset + done} bytes`)
      } catch (error) {
        failures = done - before >= progressBytes ? 1 : failures + 1
        await this.#mayRetry(error, failures, signal)
      }
    }
  }

  /**
   * A small file, whole.
   *
   * @returns undefined when it is not there
   * @throws SourceError; UpdateRefused `size` when it is longer
   */
  async whole(
    url: URL,
    bytesMax: number,
    { headers = {}, signal }: { headers?: Record<string, string>; signal?: AbortSignal | undefined } = {},
  ): Promise<Uint8Array | undefined> {
    const late = new AbortController()
    const timer = globalThis.setTimeout(() => {
      const seconds = this.#documentTimeoutMs / 1000
      late.abort(new SourceError(`${shown(url)}: it did not come whole within ${seconds} s`))
    }, this.#documentTimeoutMs)
    const either = AbortSignal.any([late.signal, ...(signal === undefined ? [] : [signal])])
    try {
      for (let failures = 0; ;) {
        try {
          return await this.#wholeOnce(url, bytesMax, headers, either)
        } catch (error) {
          failures += 1
          await this.#mayRetry(error, failures, either)
        }
      }
    } finally {
      clearTimeout(timer)
    }
  }

  async #wholeOnce(
    url: URL,
    bytesMax: number,
    headers: Record<string, string>,
    signal: AbortSignal | undefined,
  ): Promise<Uint8Array | undefined> {
    await using exchange = await this.#exchange(url, headers, signal)
    const { response } = exchange
    if (response.status === 404) return undefined
    if (response.status !== 200) throw unexpected(url, response)
    const bytes = await gather(exchange.chunks(), bytesMax)
    if (bytes === null) throw new UpdateRefused('size', `${shown(url)} has more than ${bytesMax} bytes`)
    return bytes
  }

  async *#range({ url, offset, length }: Part, signal: AbortSignal | undefined): AsyncGenerator<Uint8Array> {
    const end = offset + length - 1
    await using exchange = await this.#exchange(url, { range: `bytes=${offset}-${end}` }, signal, this.#pace)
    const { response } = exchange
    if (response.status === 200) {
      throw new PermanentError(
        `${shown(url)}: the server does not give parts of files (it answered 200 to a Range): put the release on one that does`,
      )
    }
    if (response.status !== 206) throw unexpected(url, response)
    const range = response.headers.get('content-range') ?? ''
    if (!range.startsWith(`bytes ${offset}-${end}/`)) {
      throw new PermanentError(
        `${shown(url)}: asked for bytes ${offset}-${end}, the server gave ${range || 'others'}`,
      )
    }
    yield* exchange.chunks()
  }

  async #exchange(
    url: URL,
    headers: Record<string, string>,
    signal: AbortSignal | undefined,
    pace?: Pace,
  ): Promise<Exchange> {
    const exchange = new Exchange(url, this.#stallTimeoutMs, signal, pace)
    const init = { ...asItIs, headers: { ...asItIs.headers, ...headers } }
    await exchange.begin((stop) => this.#send(url, { ...init, signal: stop }))
    return exchange
  }

  async #mayRetry(error: unknown, failures: number, signal: AbortSignal | undefined): Promise<void> {
    signal?.throwIfAborted()
    if (error instanceof PermanentError || error instanceof UpdateRefused) throw error
    if (failures > this.#retries) throw error
    // Some chance in it, so that a thousand devices do not come back at once.
    const delayMs = this.#retryDelayMs * 2 ** (failures - 1) * (0.5 + Math.random())
    await setTimeout(delayMs, undefined, signal === undefined ? {} : { signal })
  }
}

/** One request and its answer, each step of which has to come in time. */
class Exchange implements AsyncDisposable {
  readonly #url: URL
  readonly #stallTimeoutMs: number
  readonly #stop = new AbortController()
  readonly #signal: AbortSignal
  readonly #pace: Pace | undefined
  #response: Response | undefined

  constructor(url: URL, stallTimeoutMs: number, signal: AbortSignal | undefined, pace: Pace | undefined) {
    this.#url = url
    this.#pace = pace
    this.#stallTimeoutMs = stallTimeoutMs
    this.#signal = AbortSignal.any([this.#stop.signal, ...(signal === undefined ? [] : [signal])])
  }

  get response(): Response {
    if (this.#response === undefined) throw new Error('the exchange has not begun')
    return this.#response
  }

  async begin(send: (signal: AbortSignal) => Promise<Response>): Promise<void> {
    this.#response = await this.#inTime(() => send(this.#signal))
  }

  async *chunks(): AsyncGenerator<Uint8Array> {
    const reader = this.response.body?.getReader()
    if (reader === undefined) return
    for (;;) {
      const { done, value } = await this.#inTime(() => reader.read())
      if (done) return
      if (this.#pace?.tooSlowAfter(value.length) === true)
        throw new PermanentError(`${shown(this.#url)}: ${this.#pace.complaint}: given up, to go on later`)
      yield value
    }
  }

  async #inTime<T>(step: () => Promise<T>): Promise<T> {
    const silent = new SourceError(`${shown(this.#url)}: nothing came for ${this.#stallTimeoutMs / 1000} s`)
    const timer = globalThis.setTimeout(() => this.#stop.abort(silent), this.#stallTimeoutMs)
    this.#pace?.waitBegins()
    try {
      return await step()
    } catch (error) {
      if (this.#stop.signal.aborted) throw silent
      this.#signal.throwIfAborted()
      if (error instanceof SourceError) throw error
      throw new SourceError(
        `${shown(this.#url)}: ${error instanceof Error ? error.message : String(error)}`,
        {
          cause: error,
        },
      )
    } finally {
      this.#pace?.waitEnds()
      clearTimeout(timer)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#stop.signal.aborted) this.#stop.abort(new Error('the answer is not wanted any more'))
    // The body may be locked by a reader that will not be asked again: then aborting was all there is to do.
    if (this.#response?.body?.locked === false) await this.#response.body.cancel().catch(() => undefined)
  }
}

/** All that comes, in one piece; null when that is more than `bytesMax`, of which the rest is not read. */
export async function gather(
  chunks: AsyncIterable<Uint8Array>,
  bytesMax: number,
): Promise<Uint8Array<ArrayBuffer> | null> {
  const kept: Uint8Array[] = []
  let sizeBytes = 0
  for await (const chunk of chunks) {
    sizeBytes += chunk.length
    if (sizeBytes > bytesMax) return null
    kept.push(chunk)
  }
  return Buffer.concat(kept)
}

function sendPlainly(url: URL, init: RequestInit): Promise<Response> {
  return fetch(url, init)
}

function headersOf(init: RequestInit): Record<string, string> {
  return Object.fromEntries(new Headers(init.headers))
}

/** An answer that is none of those that were expected. */
export function unexpected(url: URL, { status }: Response): SourceError {
  const ErrorClass = transientStatus.has(status) ? SourceError : PermanentError
  return new ErrorClass(`${shown(url)}: the server answered ${status}`)
}

/** A URL as people may see it: passwords and the keys of signed links are not for logs. */
export function shown({ origin, pathname }: URL): string {
  return `${origin}${pathname}`
}

/**
 * A base URL, its name and password taken out.
 *
 * @throws TypeError for what is no URL of HTTP
 */
export function parseBase(text: string): { base: URL; authorization: string | undefined } {
  const base = URL.parse(text)
  if (base === null || !['http:', 'https:'].includes(base.protocol)) {
    throw new TypeError(`expected a URL as https://example.org/releases, got ${JSON.stringify(text)}`)
  }
  const { username, password } = base
  const authorization =
    username === '' ? undefined : basic(decodeURIComponent(username), decodeURIComponent(password))
  base.username = ''
  base.password = ''
  if (!base.pathname.endsWith('/')) base.pathname += '/'
  return { base, authorization }
}

/** The value of an Authorization header. @see https://www.rfc-editor.org/rfc/rfc7617 */
export function basic(username: string, password: string): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`
}
