/** Reading an image at any place: what the readers of disks and file systems need. */

/**
 * Bytes that can be read at any offset.
 *
 * @example
 * ```ts
 * import { bytesAccess } from '@pkg/image/random-access'
 *
 * const access = bytesAccess(new Uint8Array([1, 2, 3, 4]))
 * console.log(await access.read(1, 2)) // Uint8Array [ 2, 3 ]
 * ```
 */
export interface RandomAccess {
  /** How many bytes there are. */
  readonly sizeBytes: number
  /**
   * Reads `length` bytes from `offset` on; fewer only where the bytes end. The result may be a view of the source: do
   * not change it.
   */
  read(offset: number, length: number): Promise<Uint8Array>
}

/** Bytes in memory. */
export function bytesAccess(bytes: Uint8Array): RandomAccess {
  return {
    sizeBytes: bytes.byteLength,
    read: (offset, length) => Promise.resolve(bytes.subarray(offset, offset + length)),
  }
}
