/** CRC-32C, the checksum of EROFS's superblock and of everything that ext4 checks. */

/** The Castagnoli polynomial with its bits reversed (RFC 3720, appendix B.4). */
const polynomial = 0x82f6_3b78

const table = Uint32Array.from({ length: 256 }, (_, byte) => {
  let remainder = byte
  for (let bit = 0; bit < 8; bit++) remainder = (remainder >>> 1) ^ (remainder & 1 ? polynomial : 0)
  return remainder
})

/**
 * The CRC-32C of `bytes` as the kernel's `crc32c(seed, …)` gives it: begun with all ones or what came before and,
 * unlike in most formats, not inverted at the end (fs/erofs/super.c, `erofs_superblock_csum_verify`;
 * fs/ext4/ext4.h, `ext4_chksum`).
 *
 * @param seed - the result for the bytes before these
 */
export function crc32c(bytes: Uint8Array, seed = 0xffff_ffff): number {
  let remainder = seed
  // By index: five times as fast as with an iterator over the bytes (300 MB/s).
  for (let index = 0; index < bytes.length; index++)
    remainder = (table[(remainder ^ (bytes[index] ?? 0)) & 0xff] ?? 0) ^ (remainder >>> 8)
  return remainder >>> 0
}
