// A file to a device, past the page cache: what is written is on the device, and what is read back comes from it.
import { createHash } from 'node:crypto'
import type { FileHandle } from 'node:fs/promises'
import { ioctl_blkflsbuf, ioctl_blkzeroout } from '@pkg/sys/block'
import { mmap } from '@pkg/sys/memory'
import { SoloError } from '../error.ts'
import { runsOf } from './runs.ts'

/** How much is written at once, and how much is named when it cannot be read back. */
const pieceBytes = 4 * 1024 * 1024

/** The kernel zeroes as much in one call, which cannot be interrupted: half a minute on a slow stick. */
const zeroBytes = 64 * 1024 * 1024

/** What is copied, and how that is watched. */
export interface Copy {
  readonly image: FileHandle
  readonly device: FileHandle
  /** Ends the copy between two pieces. */
  readonly signal: AbortSignal
  /** Hears how many bytes of the image are done. */
  readonly onBytes: (bytes: number) => void
}

/** A piece of the image that was written. */
interface Piece {
  readonly startBytes: number
  readonly lengthBytes: number
  /** Undefined for zeros. */
  readonly sha256: string | undefined
}

/** Writes a part of the image, its holes as zeros, and flushes; returns what {@link verifyPieces} needs. */
export async function copyPart(
  { image, device, signal, onBytes }: Copy,
  part: { readonly startBytes: number; readonly endBytes: number },
): Promise<Piece[]> {
  // The device is open with O_DIRECT, which wants memory of whole pages.
  using memory = mmap({ lengthBytes: pieceBytes })
  const pieces: Piece[] = []
  for (const { startBytes, endBytes, isHole } of runsOf(image.fd, part.endBytes)) {
    const step = isHole ? zeroBytes : pieceBytes
    for (let at = Math.max(startBytes, part.startBytes); at < endBytes; at += step) {
      signal.throwIfAborted()
      const lengthBytes = Math.min(step, endBytes - at)
      let sha256: string | undefined
      if (isHole) ioctl_blkzeroout(device.fd, at, lengthBytes)
      else {
        const bytes = memory.bytes.subarray(0, lengthBytes)
        await readWhole(image, bytes, at)
        sha256 = digest(bytes)
        await writeWhole(device, bytes, at)
      }
      pieces.push({ startBytes: at, lengthBytes, sha256 })
      onBytes(at + lengthBytes)
    }
  }
  await device.sync()
  return pieces
}

/**
 * Reads pieces back from the device.
 *
 * @throws SoloError when one is not what was written
 */
export async function verifyPieces(
  { device, signal, onBytes }: Copy,
  pieces: readonly Piece[],
): Promise<void> {
  // What others have read of it before lies in the page cache still.
  ioctl_blkflsbuf(device.fd)
  using memory = mmap({ lengthBytes: pieceBytes })
  using zeros = mmap({ lengthBytes: pieceBytes })
  for (const { startBytes, lengthBytes, sha256 } of pieces) {
    for (let at = startBytes; at < startBytes + lengthBytes; at += pieceBytes) {
      signal.throwIfAborted()
      const bytes = memory.bytes.subarray(0, Math.min(pieceBytes, startBytes + lengthBytes - at))
      await readWhole(device, bytes, at)
      const isRight =
        sha256 === undefined
          ? Buffer.compare(bytes, zeros.bytes.subarray(0, bytes.length)) === 0
          : digest(bytes) === sha256
      if (!isRight) {
        throw new SoloError(
          `what was written at byte ${at} is not what is read there: the device is broken or smaller than it says`,
        )
      }
      onBytes(at + bytes.length)
    }
  }
}

async function readWhole(file: FileHandle, bytes: Uint8Array, offset: number): Promise<void> {
  for (let done = 0; done < bytes.length;) {
    const { bytesRead } = await file.read(bytes, done, bytes.length - done, offset + done)
    if (bytesRead === 0) throw new SoloError(`it ends at byte ${offset + done}, while it is read`)
    done += bytesRead
  }
}

async function writeWhole(file: FileHandle, bytes: Uint8Array, offset: number): Promise<void> {
  for (let done = 0; done < bytes.length;) {
    done += (await file.write(bytes, done, bytes.length - done, offset + done)).bytesWritten
  }
}

function digest(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}
