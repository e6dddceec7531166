/** CRC-32, the checksum of partition tables (and of Ethernet, zip and gzip). */

/** The polynomial of IEEE 802.3 with its bits reversed. */
const polynomial = 0xedb8_8320

const table = Uint32Array.from({ length: 256 }, (_, byte) => {
  let remainder = byte
  for (let bit = 0; bit < 8; bit++) remainder = (remainder >>> 1) ^ (remainder & 1 ? polynomial : 0)
  return remainder
})

/** The CRC-32 of `bytes`: begun with all ones and inverted at the end. */
export function crc32(bytes: Uint8Array): number {
  let remainder = 0xffff_ffff
  // By index: PID 1 comes here once, before the loop is compiled, where an iterator costs five times as much.
  for (let index = 0; index < bytes.byteLength; index++) {
    remainder = (table[(remainder ^ (bytes[index] ?? 0)) & 0xff] ?? 0) ^ (remainder >>> 8)
  }
  return (remainder ^ 0xffff_ffff) >>> 0
}
