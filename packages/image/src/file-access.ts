/** Reading a file of the host, or a block device, at any place. */
import { open } from 'node:fs/promises'
import type { RandomAccess } from './random-access.ts'

/** An open file. */
export interface FileAccess extends RandomAccess, AsyncDisposable {}

/**
 * Opens a file, or a block device, for reading. Close it by `await using`.
 *
 * @throws Node's `ENOENT`, `EACCES` …
 */
export async function fileAccess(path: string): Promise<FileAccess> {
  const file = await open(path, 'r')
  try {
    return {
      sizeBytes: await sizeOf(file),
      async read(offset, length) {
        const bytes = new Uint8Array(length)
        let done = 0
        while (done < length) {
          const { bytesRead } = await file.read(bytes, done, length - done, offset + done)
          if (bytesRead === 0) break
          done += bytesRead
        }
        return bytes.subarray(0, done)
      },
      [Symbol.asyncDispose]: () => file.close(),
    }
  } catch (error) {
    await file.close()
    throw error
  }
}

/** stat(2) knows no size of a block device; how far it can be read is found by halving. */
async function sizeOf(file: Awaited<ReturnType<typeof open>>): Promise<number> {
  const stats = await file.stat()
  if (!stats.isBlockDevice()) return stats.size
  const probe = new Uint8Array(1)
  const hasByte = async (offset: number): Promise<boolean> =>
    (await file.read(probe, 0, 1, offset)).bytesRead === 1
  let [low, high] = [0, 1]
  while (await hasByte(high - 1)) [low, high] = [high, high * 2]
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2)
    if (await hasByte(middle - 1)) low = middle
    else high = middle
  }
  return low
}
