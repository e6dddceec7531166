/** The client of the updater's socket. */
import { createConnection, type Socket } from 'node:net'
import { UpdateRefused } from './refused.ts'
import type { ReleaseDocuments } from './release.ts'
import { type BlobSource, SourceError } from './source.ts'
import {
  type ClientMessage,
  dataFrame,
  FrameError,
  FrameReader,
  type InstalledMessage,
  type InstallProgress,
  jsonFrame,
  type SlotState,
  UPDATER_SOCKET,
  type UpdaterAnswer,
  type UpdaterMessage,
  type UpdaterRequest,
  type WantMessage,
} from './updater-protocol.ts'

/** How the updater is asked. */
export interface AskOptions {
  /** Its socket. Default: {@link UPDATER_SOCKET}. */
  readonly socket?: string
  /** Ends it early: the updater stops at the next chance. */
  readonly signal?: AbortSignal
}

/** What is to be installed. */
export interface InstallByUpdaterOptions extends AskOptions {
  /** The release's documents. */
  readonly documents: ReleaseDocuments
  /** Where its blobs come from. */
  readonly source: BlobSource
  /** Told of each step. */
  readonly onProgress?: (progress: InstallProgress) => void
}

/** Something went wrong that is not the release's fault; another try goes on where this one stopped. */
export class UpdateFailed extends Error {
  override name = 'UpdateFailed'
}

/**
 * Has a release installed, or goes on with an installation that was interrupted.
 *
 * @throws UpdateRefused the release does not pass a check; {@link UpdateFailed} anything else; the signal's reason
 *
 * @example
 * ```ts no-run
 * import { installByUpdater, type InstallByUpdaterOptions } from '@pkg/update/updater-client'
 *
 * export async function install({ documents, source }: InstallByUpdaterOptions): Promise<string> {
 *   const { slot, version } = await installByUpdater({ documents, source })
 *   return `${version} is in ${slot} and will be tried at the next boot`
 * }
 * ```
 */
export async function installByUpdater(options: InstallByUpdaterOptions): Promise<InstalledMessage> {
  const { documents, source, onProgress } = options
  const answer = await ask({ type: 'install', documents }, options, { source, onProgress })
  if (answer.type !== 'installed') throw unexpected(answer)
  return answer
}

/**
 * Has the release installed that is on a medium, which the updater finds: in its first folder, or in one called `solo`.
 *
 * @throws UpdateRefused `stick` when there is none; as {@link installByUpdater}
 */
export async function installFromStick(
  options: AskOptions & Pick<InstallByUpdaterOptions, 'onProgress'> = {},
): Promise<InstalledMessage> {
  const { onProgress } = options
  const answer = await ask({ type: 'install-from-stick' }, options, { onProgress })
  if (answer.type !== 'installed') throw unexpected(answer)
  return answer
}

/**
 * Has a release checked as an installation would, and nothing done.
 *
 * @throws as {@link installByUpdater}
 */
export async function verifyByUpdater(
  documents: ReleaseDocuments,
  options: AskOptions = {},
): Promise<{ version: string; counter: number }> {
  const answer = await ask({ type: 'verify', documents }, options)
  if (answer.type !== 'verified') throw unexpected(answer)
  return { version: answer.version, counter: answer.counter }
}

/**
 * How the slots stand; the one that runs comes first.
 *
 * @throws UpdateRefused `slot` on a machine without slots; {@link UpdateFailed}
 */
export async function slotStates(
  options: AskOptions = {},
): Promise<{ slots: readonly SlotState[]; installing: boolean }> {
  const answer = await ask({ type: 'state' }, options)
  if (answer.type !== 'state') throw unexpected(answer)
  return { slots: answer.slots, installing: answer.installing }
}

interface Parts {
  readonly source?: BlobSource
  readonly onProgress?: ((progress: InstallProgress) => void) | undefined
}

async function ask(request: UpdaterRequest, options: AskOptions, parts: Parts = {}): Promise<UpdaterAnswer> {
  const { socket: path = UPDATER_SOCKET, signal } = options
  signal?.throwIfAborted()
  const conversation = new Conversation(createConnection(path), parts)
  const onAbort = (): void => conversation.fail(signal?.reason)
  signal?.addEventListener('abort', onAbort, { once: true })
  try {
    conversation.begin(request)
    return await conversation.answer
  } finally {
    signal?.removeEventListener('abort', onAbort)
    conversation.close()
  }
}

/** One connection. */
class Conversation {
  readonly #socket: Socket
  readonly #parts: Parts
  readonly #frames = new FrameReader()
  readonly #stop = new AbortController()
  readonly #outcome = Promise.withResolvers<UpdaterAnswer>()
  /** Answers to wants are sent one after the other: the bytes of two must not mix. */
  #sending: Promise<void> = Promise.resolve()

  constructor(socket: Socket, parts: Parts) {
    this.#socket = socket
    this.#parts = parts
    socket.on('data', (chunk: Uint8Array) => this.#take(chunk))
    socket.on('error', (error) =>
      this.fail(new UpdateFailed(`the updater: ${error.message}`, { cause: error })),
    )
    socket.on('close', () => this.fail(new UpdateFailed('the updater has closed the connection')))
  }

  get answer(): Promise<UpdaterAnswer> {
    return this.#outcome.promise
  }

  begin(request: UpdaterRequest): void {
    this.#socket.write(jsonFrame(request))
  }

  fail(reason: unknown): void {
    this.#outcome.reject(reason)
  }

  close(): void {
    this.#stop.abort(new Error('the conversation with the updater has ended'))
    this.#socket.destroy()
  }

  #take(chunk: Uint8Array): void {
    try {
      for (const frame of this.#frames.push(chunk)) {
        if (frame.kind === 'data') throw new FrameError('bytes from the updater')
        // The updater is root's own program: what it says is believed.
        this.#message(frame.value as UpdaterMessage)
      }
    } catch (error) {
      this.fail(error)
    }
  }

  #message(message: UpdaterMessage): void {
    if (message.type === 'want') void this.#give(message)
    else if (message.type === 'progress') this.#parts.onProgress?.(message)
    else if (message.type === 'refused') this.fail(new UpdateRefused(message.check, message.message))
    else if (message.type === 'failed') this.fail(new UpdateFailed(message.message))
    else this.#outcome.resolve(message)
  }

  /** Fetches beside what else is being fetched; what is there first is sent first. */
  async #give(want: WantMessage): Promise<void> {
    const result = await this.#fetch(want)
    this.#sending = this.#sendAfter(this.#sending, want, result)
    await this.#sending
  }

  async #sendAfter(before: Promise<void>, { id }: WantMessage, result: Uint8Array | string): Promise<void> {
    await before
    if (typeof result === 'string') {
      await this.#write(
        jsonFrame({ type: 'failed', id, reason: result.slice(0, 1000) } satisfies ClientMessage),
      )
      return
    }
    await this.#write(jsonFrame({ type: 'data', id } satisfies ClientMessage))
    await this.#write(dataFrame(result))
  }

  /** The bytes, or why there are none. */
  async #fetch({ digest, offset, length }: WantMessage): Promise<Uint8Array | string> {
    try {
      const { source } = this.#parts
      if (source === undefined) throw new SourceError('there is no source')
      const bytes = new Uint8Array(length)
      let done = 0
      for await (const chunk of source.open(digest, offset, length, this.#stop.signal)) {
        if (done + chunk.length > length) throw new SourceError(`more than ${length} bytes came`)
        bytes.set(chunk, done)
        done += chunk.length
      }
      if (done < length) throw new SourceError(`${done} of ${length} bytes came`)
      return bytes
    } catch (error) {
      return error instanceof Error ? error.message : String(error)
    }
  }

  async #write(bytes: Uint8Array): Promise<void> {
    if (!this.#socket.writable || this.#socket.write(bytes)) return
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#socket.once('drain', resolve)
    this.#socket.once('close', resolve)
    await promise
    this.#socket.off('drain', resolve)
    this.#socket.off('close', resolve)
  }
}

function unexpected(answer: UpdaterAnswer): UpdateFailed {
  return new UpdateFailed(`the updater gave an unexpected answer: ${answer.type}`)
}
