/** Progress of a stream, counted in bytes that its taker has dealt with. */

/** How far a writer is. */
export interface PassOptions {
  /** Ends the writing: the iteration rejects with the signal's reason. */
  readonly signal?: AbortSignal
  /** Called when a chunk has been taken, with how many bytes have been taken so far. */
  readonly onProgress?: (doneBytes: number) => void
}

/** Passes `chunks` on. Tells of a chunk when the next one is asked for: then its taker has written it. */
export async function* counted(
  chunks: AsyncIterable<Uint8Array>,
  onProgress: ((doneBytes: number) => void) | undefined,
): AsyncGenerator<Uint8Array, void, undefined> {
  if (!onProgress) {
    yield* chunks
    return
  }
  let doneBytes = 0
  for await (const chunk of chunks) {
    yield chunk
    doneBytes += chunk.byteLength
    onProgress(doneBytes)
  }
}
