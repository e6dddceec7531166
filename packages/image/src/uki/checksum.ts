/**
 * The checksum of a PE file: the ones' complement sum of its 16-bit words, the checksum's own field taken as 0, plus
 * the file's length. Firmware does not look at it; here it tells a whole file from one with flipped bits.
 *
 * @see https://learn.microsoft.com/windows/win32/api/imagehlp/nf-imagehlp-checksummappedfile
 */

/** Sums up a file given in pieces of any size. */
export class PeChecksum {
  /** Sums of the bytes at even and odd offsets: below 2⁵³ for any file of less than 4 GiB. */
  #low = 0
  #high = 0
  #sizeBytes = 0

  /** Adds the next bytes. */
  update(bytes: Uint8Array): void {
    let [even, odd] = [0, 0]
    const pairedBytes = bytes.byteLength & ~1
    for (let index = 0; index < pairedBytes; index += 2) {
      even += bytes[index] ?? 0
      odd += bytes[index + 1] ?? 0
    }
    if (pairedBytes < bytes.byteLength) even += bytes[pairedBytes] ?? 0
    const startsOdd = this.#sizeBytes % 2 === 1
    this.#low += startsOdd ? odd : even
    this.#high += startsOdd ? even : odd
    this.#sizeBytes += bytes.byteLength
  }

  /** The checksum of all bytes. */
  value(): number {
    let sum = this.#low + this.#high * 256
    while (sum > 0xffff) sum = (sum % 65_536) + Math.floor(sum / 65_536)
    return (sum + this.#sizeBytes) % 2 ** 32
  }
}
