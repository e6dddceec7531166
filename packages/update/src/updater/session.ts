// One client on the updater's socket: one request, what it takes to fulfil it, and one answer.
import type { Socket } from 'node:net'
import { z } from 'zod'
import { UpdateRefused } from '../refused.ts'
import { FrameError, FrameReader, type Frame, jsonFrame } from './frames.ts'
import type { InstallProgress, UpdaterAnswer, UpdaterMessage } from '../updater-protocol.ts'
import type { Installer } from './installer.ts'
import { WantSource } from './want-source.ts'

/** A client that has connected has so long to say what it wants. */
const requestTimeoutMs = 10_000

/** Progress is told so often at most: each time costs the agent an answer to every client that watches. */
const progressIntervalMs = 500

/** Progress is not told to a client that does not read: so much may wait for it. */
const unreadBytesMax = 64 * 1024

const requestSchema = z.discriminatedUnion('type', [
  // What the documents are is checked with them.
  z.strictObject({ type: z.literal('install'), documents: z.unknown() }),
  z.strictObject({ type: z.literal('verify'), documents: z.unknown() }),
  z.strictObject({ type: z.literal('install-from-stick') }),
  z.strictObject({ type: z.literal('state') }),
])

type Request = z.infer<typeof requestSchema>

const messageSchema = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('data'), id: z.int() }),
  z.strictObject({ type: z.literal('failed'), id: z.int(), reason: z.string().max(1000) }),
])

/** Serves a client until its connection ends. */
export class Session {
  readonly #socket: Socket
  readonly #installer: Installer
  readonly #frames = new FrameReader()
  readonly #abort = new AbortController()
  readonly #source: WantSource
  #hasRequest = false
  #lastProgress: { phase: string; atMs: number } | undefined

  constructor(socket: Socket, installer: Installer) {
    this.#socket = socket
    this.#installer = installer
    this.#source = new WantSource((message) => this.#send(message))
    socket.setTimeout(requestTimeoutMs, () => this.#end(new FrameError('no request came')))
    socket.on('data', (chunk: Uint8Array) => this.#take(chunk))
    socket.on('error', () => this.#end(new Error('the connection to the client failed')))
    socket.on('close', () => this.#end(new Error('the client has gone')))
  }

  /** Ends an installation, and the connection. */
  close(): void {
    this.#end(new Error('the updater is shutting down'))
  }

  #end(reason: Error): void {
    this.#source.close(reason)
    this.#abort.abort(reason)
    this.#socket.destroy()
  }

  #take(chunk: Uint8Array): void {
    try {
      for (const frame of this.#frames.push(chunk)) this.#frame(frame)
    } catch (error) {
      // Whoever does not speak the protocol is not told more than this.
      const message =
        error instanceof FrameError ? error.message : `no message of the updater's: ${String(error)}`
      this.#send({ type: 'failed', message })
      this.#end(new FrameError(message))
    }
  }

  #frame(frame: Frame): void {
    if (frame.kind === 'data') {
      this.#source.data(frame.bytes)
      return
    }
    if (!this.#hasRequest) {
      this.#hasRequest = true
      this.#socket.setTimeout(0)
      void this.#answer(requestSchema.parse(frame.value))
      return
    }
    const message = messageSchema.parse(frame.value)
    if (message.type === 'data') this.#source.begin(message.id)
    else this.#source.fail(message.id, message.reason)
  }

  async #answer(request: Request): Promise<void> {
    const answer = await this.#fulfil(request).catch((error: unknown) => failure(error))
    this.#send(answer)
    this.#socket.end()
  }

  async #fulfil(request: Request): Promise<UpdaterAnswer> {
    if (request.type === 'state') return { type: 'state', ...(await this.#installer.state()) }
    if (request.type === 'verify') {
      return { type: 'verified', ...(await this.#installer.verify(request.documents)) }
    }
    const watched = {
      onProgress: (progress: InstallProgress) => this.#progress(progress),
      signal: this.#abort.signal,
    }
    if (request.type === 'install-from-stick') return await this.#installer.installFromStick(watched)
    const { documents } = request
    return await this.#installer.install({ documents, source: this.#source, ...watched })
  }

  #progress(progress: InstallProgress): void {
    const nowMs = performance.now()
    const last = this.#lastProgress
    const isNews = last?.phase !== progress.phase || progress.doneBytes === progress.totalBytes
    if (!isNews && nowMs - last.atMs < progressIntervalMs) return
    if (this.#socket.writableLength > unreadBytesMax) return
    this.#lastProgress = { phase: progress.phase, atMs: nowMs }
    this.#send({ type: 'progress', ...progress })
  }

  #send(message: UpdaterMessage): void {
    if (this.#socket.writable) this.#socket.write(jsonFrame(message))
  }
}

function failure(error: unknown): UpdaterAnswer {
  if (error instanceof UpdateRefused) return { type: 'refused', check: error.check, message: error.message }
  return { type: 'failed', message: error instanceof Error ? error.message : String(error) }
}
