/**
 * What lies at the beginning of a data partition: the build's mark that it was never formatted, an ext4 file system
 * and whether it was unmounted cleanly, or something that is not ours to touch.
 */

/** The first bytes of a partition that the build made and nobody has formatted yet. */
export const NEVER_FORMATTED = 'solo: never formatted\n'

/** The sector that it lies in. */
export const MARK_BYTES = 512

/** How many bytes {@link contentOf} wants to see. */
export const HEAD_BYTES = 4096

/** Where the superblock begins, and fields in it (Linux, fs/ext4/ext4.h, struct ext4_super_block). */
const SUPERBLOCK = 1024
const S_BLOCKS_COUNT_LO = SUPERBLOCK + 4
const S_LOG_BLOCK_SIZE = SUPERBLOCK + 24
const S_MAGIC = SUPERBLOCK + 56
const S_STATE = SUPERBLOCK + 58
const S_FEATURE_INCOMPAT = SUPERBLOCK + 96
const S_BLOCKS_COUNT_HI = SUPERBLOCK + 336
const EXT4_MAGIC = 0xef53
/** EXT4_VALID_FS: cleared while it is mounted without a journal; EXT4_ERROR_FS: the kernel found damage. */
const VALID = 0x1
const ERRORS = 0x2
/** EXT4_FEATURE_INCOMPAT_RECOVER: the journal has what the file system lacks. */
const NEEDS_RECOVERY = 0x4

/** What a data partition holds. */
export type DataContent =
  | { readonly kind: 'never-formatted' }
  | { readonly kind: 'ext4'; readonly clean: boolean; readonly sizeBytes: number }
  | { readonly kind: 'unknown' }

/** Judges the first {@link HEAD_BYTES} bytes. */
export function contentOf(head: Uint8Array): DataContent {
  const mark = new TextDecoder().decode(head.subarray(0, NEVER_FORMATTED.length))
  if (mark === NEVER_FORMATTED) return { kind: 'never-formatted' }
  if (head.length < HEAD_BYTES) return { kind: 'unknown' }
  const view = new DataView(head.buffer, head.byteOffset, head.byteLength)
  if (view.getUint16(S_MAGIC, true) !== EXT4_MAGIC) return { kind: 'unknown' }
  const state = view.getUint16(S_STATE, true)
  const recover = (view.getUint32(S_FEATURE_INCOMPAT, true) & NEEDS_RECOVERY) !== 0
  const blocks = view.getUint32(S_BLOCKS_COUNT_LO, true) + view.getUint32(S_BLOCKS_COUNT_HI, true) * 2 ** 32
  return {
    kind: 'ext4',
    clean: (state & VALID) !== 0 && (state & ERRORS) === 0 && !recover,
    sizeBytes: blocks * 1024 * 2 ** view.getUint32(S_LOG_BLOCK_SIZE, true),
  }
}
