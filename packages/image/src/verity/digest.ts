/** The digest of one block: SHA-256 of the salt followed by the block (hash type 1; type 0, Chrome OS's, has it last). */
import { createHash } from 'node:crypto'

/** The longest salt that a superblock holds (cryptsetup's lib/verity/verity.c, `struct verity_sb`). */
export const saltBytesMax = 256

/** The 32 bytes. */
export function digestOf(salt: Uint8Array, block: Uint8Array): Uint8Array {
  return createHash('sha256').update(salt).update(block).digest()
}

/**
 * A salt in memory of its own.
 *
 * @throws TypeError or RangeError when it is no bytes or too many
 */
export function checkSalt(salt: Uint8Array): Uint8Array {
  if (!(salt instanceof Uint8Array)) throw new TypeError('salt must be a Uint8Array, empty for none')
  if (salt.byteLength > saltBytesMax) {
    throw new RangeError(`salt has ${salt.byteLength} bytes, dm-verity takes ${saltBytesMax} at most`)
  }
  return new Uint8Array(salt)
}

/** Bytes as lower-case hexadecimal digits. */
export function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex')
}

/**
 * A root hash as bytes.
 *
 * @throws TypeError when `text` has not 64 hexadecimal digits
 */
export function parseRootHash(text: string): Uint8Array {
  if (typeof text !== 'string' || !/^[\da-f]{64}$/i.test(text)) {
    throw new TypeError(
      `rootHash is ${JSON.stringify(text)}, expected the 64 hexadecimal digits of a SHA-256`,
    )
  }
  return new Uint8Array(Buffer.from(text, 'hex'))
}
