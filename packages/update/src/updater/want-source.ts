// The client as a source of blobs: it is asked for parts, and gives them when it has them.
import { type BlobSource, SourceError } from '../source.ts'
import { releaseMemory } from '../install/memory.ts'
import { FrameError } from './frames.ts'
import { wantBytesMax, type WantMessage, wantsMax } from '../updater-protocol.ts'

interface Want {
  readonly message: WantMessage
  readonly chunks: Uint8Array[]
  doneBytes: number
  /** Called when there is something new: bytes, or the end. */
  onNews: () => void
  failure: Error | undefined
}

/** Wants that are asked for, a bounded number at a time, and answers as they come. */
export class WantSource implements BlobSource {
  readonly #send: (message: WantMessage) => void
  readonly #asked = new Map<number, Want>()
  readonly #waiting: Want[] = []
  #nextId = 1
  /** Whose bytes come next. */
  #current: Want | undefined
  #closed: Error | undefined

  constructor(send: (message: WantMessage) => void) {
    this.#send = send
  }

  async *open(digest: string, offset: number, length: number): AsyncGenerator<Uint8Array> {
    const wants: Want[] = []
    for (let done = 0; done < length; done += wantBytesMax) {
      wants.push(this.#want(digest, offset + done, Math.min(wantBytesMax, length - done)))
    }
    try {
      for (const want of wants) yield* chunksOf(want)
    } finally {
      // What was asked for already will be answered all the same, and is passed over then.
      for (const want of wants) {
        const index = this.#waiting.indexOf(want)
        if (index >= 0) this.#waiting.splice(index, 1)
      }
    }
  }

  /** The client will give the bytes of this want next. @throws FrameError it was not asked */
  begin(id: number): void {
    if (this.#current !== undefined) throw new FrameError(`data of want ${id} within that of another`)
    this.#current = this.#get(id)
  }

  /** The next bytes of the want that was begun. @throws FrameError there is none, or they are more than it wants */
  data(bytes: Uint8Array): void {
    const want = this.#current
    if (want === undefined) throw new FrameError('data without a want')
    want.doneBytes += bytes.length
    const { id, length } = want.message
    if (want.doneBytes > length) throw new FrameError(`more data than the ${length} bytes of want ${id}`)
    want.chunks.push(bytes)
    if (want.doneBytes === length) {
      this.#current = undefined
      this.#answered(want)
    }
    want.onNews()
  }

  /** The client cannot give it. @throws FrameError it was not asked */
  fail(id: number, reason: string): void {
    const want = this.#get(id)
    if (this.#current === want) this.#current = undefined
    this.#answered(want)
    want.failure = new SourceError(`the client: ${reason}`)
    want.onNews()
  }

  /** Nothing more will come. */
  close(reason: Error): void {
    this.#closed = reason
    for (const want of [...this.#asked.values(), ...this.#waiting]) {
      want.failure ??= reason
      want.onNews()
    }
  }

  #want(digest: string, offset: number, length: number): Want {
    const message: WantMessage = { type: 'want', id: this.#nextId++, digest, offset, length }
    const want: Want = { message, chunks: [], doneBytes: 0, onNews: () => {}, failure: this.#closed }
    this.#waiting.push(want)
    this.#ask()
    return want
  }

  #ask(): void {
    while (this.#asked.size < wantsMax) {
      const want = this.#waiting.shift()
      if (want === undefined) return
      this.#asked.set(want.message.id, want)
      this.#send(want.message)
    }
  }

  #get(id: number): Want {
    const want = this.#asked.get(id)
    if (want === undefined) throw new FrameError(`an answer to want ${id}, which was not asked`)
    return want
  }

  #answered(want: Want): void {
    this.#asked.delete(want.message.id)
    this.#ask()
  }
}

async function* chunksOf(want: Want): AsyncGenerator<Uint8Array> {
  let givenBytes = 0
  while (givenBytes < want.message.length) {
    const chunk = want.chunks.shift()
    if (chunk !== undefined) {
      givenBytes += chunk.length
      yield chunk
      // Whoever asked for it has copied it when it asks for the next.
      releaseMemory(chunk)
    } else if (want.failure !== undefined) throw want.failure
    else {
      const { promise, resolve } = Promise.withResolvers<void>()
      want.onNews = resolve
      await promise
    }
  }
}
