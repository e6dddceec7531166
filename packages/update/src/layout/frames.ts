// The compressed form of a blob: frames of Zstandard, each of six mebibytes.
import { createReadStream } from 'node:fs'
import { availableParallelism } from 'node:os'
import { frameBytes } from '../release.ts'

/** Each frame in work holds up to twelve mebibytes. */
const concurrency = Math.min(availableParallelism(), 16)

/**
 * Compresses a file frame by frame.
 *
 * @param level - 1 to 19; for 140 MB on two cores 19 takes a minute or two, 3 two seconds
 * @param sizes - filled with the size of each frame
 */
export async function* compressFrames(
  path: string,
  level: number,
  sizes: number[],
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array, void, undefined> {
  const pending: Promise<Uint8Array>[] = []
  for await (const raw of pieces(path, signal)) {
    pending.push(Bun.zstdCompress(raw, { level }))
    if (pending.length >= concurrency) yield await next(pending, sizes)
  }
  while (pending.length > 0) yield await next(pending, sizes)
}

async function next(pending: Promise<Uint8Array>[], sizes: number[]): Promise<Uint8Array> {
  const frame = (await pending.shift()) ?? new Uint8Array()
  sizes.push(frame.byteLength)
  return frame
}

/** A file in pieces of {@link frameBytes}, each in memory of its own. */
async function* pieces(path: string, signal?: AbortSignal): AsyncGenerator<Uint8Array, void, undefined> {
  let piece = new Uint8Array(frameBytes)
  let filled = 0
  for await (const chunk of createReadStream(path, { highWaterMark: 256 * 1024 })) {
    signal?.throwIfAborted()
    for (let rest = chunk as Uint8Array; rest.byteLength > 0;) {
      const part = rest.subarray(0, frameBytes - filled)
      piece.set(part, filled)
      filled += part.byteLength
      rest = rest.subarray(part.byteLength)
      if (filled < frameBytes) continue
      yield piece
      piece = new Uint8Array(frameBytes)
      filled = 0
    }
  }
  if (filled > 0) yield piece.subarray(0, filled)
}
