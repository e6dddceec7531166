// Option strings as in fstab and mount(8), taken apart: what belongs to the mount, what to the file system.
import {
  MOUNT_ATTR__ATIME,
  MOUNT_ATTR_NOATIME,
  MOUNT_ATTR_NODEV,
  MOUNT_ATTR_NODIRATIME,
  MOUNT_ATTR_NOEXEC,
  MOUNT_ATTR_NOSUID,
  MOUNT_ATTR_NOSYMFOLLOW,
  MOUNT_ATTR_RDONLY,
  MOUNT_ATTR_RELATIME,
  MOUNT_ATTR_STRICTATIME,
  MS_DIRSYNC,
  MS_LAZYTIME,
  MS_MANDLOCK,
  MS_NOATIME,
  MS_NODEV,
  MS_NODIRATIME,
  MS_NOEXEC,
  MS_NOSUID,
  MS_NOSYMFOLLOW,
  MS_RDONLY,
  MS_RELATIME,
  MS_SILENT,
  MS_STRICTATIME,
  MS_SYNCHRONOUS,
} from '@pkg/sys/constants'

/** An option string, taken apart for both of the kernel's interfaces. */
export interface ParsedOptions {
  /** `MOUNT_ATTR_*` to set on the mount: `nosuid`, `nodev`, … */
  attributesSet: number
  /** `MOUNT_ATTR_*` to clear: `suid`, `dev`, `rw`, … */
  attributesCleared: number
  /** For the file system, in order: `['size', '10m']`, `['ro', null]`. */
  superblock: [key: string, value: string | null][]
  /** The same for mount(2): `MS_*` … */
  flags: number
  /** … and the rest, comma-separated. */
  data: string
}

/** Per mount: what each word sets and clears with the new calls, and the bit of mount(2). */
const PER_MOUNT: Record<string, { set?: number; clear?: number; flag?: number; unflag?: number }> = {
  nosuid: { set: MOUNT_ATTR_NOSUID, flag: MS_NOSUID },
  suid: { clear: MOUNT_ATTR_NOSUID, unflag: MS_NOSUID },
  nodev: { set: MOUNT_ATTR_NODEV, flag: MS_NODEV },
  dev: { clear: MOUNT_ATTR_NODEV, unflag: MS_NODEV },
  noexec: { set: MOUNT_ATTR_NOEXEC, flag: MS_NOEXEC },
  exec: { clear: MOUNT_ATTR_NOEXEC, unflag: MS_NOEXEC },
  nodiratime: { set: MOUNT_ATTR_NODIRATIME, flag: MS_NODIRATIME },
  diratime: { clear: MOUNT_ATTR_NODIRATIME, unflag: MS_NODIRATIME },
  nosymfollow: { set: MOUNT_ATTR_NOSYMFOLLOW, flag: MS_NOSYMFOLLOW },
  symfollow: { clear: MOUNT_ATTR_NOSYMFOLLOW, unflag: MS_NOSYMFOLLOW },
  // The three ways to keep access times are one field (mount_setattr(2)): it is cleared as a whole, then set.
  noatime: {
    set: MOUNT_ATTR_NOATIME,
    clear: MOUNT_ATTR__ATIME,
    flag: MS_NOATIME,
    unflag: MS_RELATIME | MS_STRICTATIME,
  },
  atime: {
    set: MOUNT_ATTR_RELATIME,
    clear: MOUNT_ATTR__ATIME,
    flag: MS_RELATIME,
    unflag: MS_NOATIME | MS_STRICTATIME,
  },
  relatime: {
    set: MOUNT_ATTR_RELATIME,
    clear: MOUNT_ATTR__ATIME,
    flag: MS_RELATIME,
    unflag: MS_NOATIME | MS_STRICTATIME,
  },
  norelatime: {
    set: MOUNT_ATTR_STRICTATIME,
    clear: MOUNT_ATTR__ATIME,
    flag: MS_STRICTATIME,
    unflag: MS_NOATIME | MS_RELATIME,
  },
  strictatime: {
    set: MOUNT_ATTR_STRICTATIME,
    clear: MOUNT_ATTR__ATIME,
    flag: MS_STRICTATIME,
    unflag: MS_NOATIME | MS_RELATIME,
  },
}

/** Per file system, but a bit of mount(2): fs/fs_context.c `common_set_sb_flag` knows them by name. */
const PER_SUPERBLOCK: Record<string, { flag?: number; unflag?: number }> = {
  sync: { flag: MS_SYNCHRONOUS },
  async: { unflag: MS_SYNCHRONOUS },
  dirsync: { flag: MS_DIRSYNC },
  lazytime: { flag: MS_LAZYTIME },
  nolazytime: { unflag: MS_LAZYTIME },
  mand: { flag: MS_MANDLOCK },
  nomand: { unflag: MS_MANDLOCK },
}

/** Words for mount(8), fstab and systemd, which mean nothing to the kernel. */
const NOT_FOR_THE_KERNEL = /^(defaults|auto|noauto|nofail|_netdev|(no)?(user|users|owner|group)|[xX]-.*)$/

/**
 * Takes an option string apart. Words: `ro`, `nosuid`, `size=10m`; a value with commas in double quotes:
 * `context="a:b,c"`. What is not known here is the file system's. Later words win over earlier ones.
 *
 * @throws TypeError for a NUL, a quote without its end, or a word without a name (`=5`)
 * @see https://man7.org/linux/man-pages/man8/mount.8.html
 */
export function parseMountOptions(options: string): ParsedOptions {
  const parsed: ParsedOptions = { attributesSet: 0, attributesCleared: 0, superblock: [], flags: 0, data: '' }
  const data: string[] = []
  for (const word of splitOptions(options)) {
    if (NOT_FOR_THE_KERNEL.test(word)) continue
    const perMount = Object.hasOwn(PER_MOUNT, word) ? PER_MOUNT[word] : undefined
    const perSuperblock = Object.hasOwn(PER_SUPERBLOCK, word) ? PER_SUPERBLOCK[word] : undefined
    if (word === 'ro' || word === 'rw') addReadOnly(parsed, word)
    else if (word === 'silent' || word === 'loud')
      parsed.flags = setBits(parsed.flags, word === 'silent' ? { flag: MS_SILENT } : { unflag: MS_SILENT })
    else if (perMount !== undefined) {
      parsed.attributesSet = setBits(parsed.attributesSet & ~(perMount.clear ?? 0), {
        flag: perMount.set ?? 0,
      })
      parsed.attributesCleared = (parsed.attributesCleared & ~(perMount.set ?? 0)) | (perMount.clear ?? 0)
      parsed.flags = setBits(parsed.flags, perMount)
    } else if (perSuperblock !== undefined) {
      parsed.superblock.push([word, null])
      parsed.flags = setBits(parsed.flags, perSuperblock)
    } else {
      parsed.superblock.push(splitWord(word))
      data.push(word)
    }
  }
  parsed.data = data.join(',')
  return parsed
}

/** mount(8): `ro` makes both the mount and the file system read-only. */
function addReadOnly(parsed: ParsedOptions, word: 'ro' | 'rw'): void {
  parsed.superblock.push([word, null])
  const isReadOnly = word === 'ro'
  parsed.attributesSet = setBits(
    parsed.attributesSet,
    isReadOnly ? { flag: MOUNT_ATTR_RDONLY } : { unflag: MOUNT_ATTR_RDONLY },
  )
  parsed.attributesCleared = setBits(
    parsed.attributesCleared,
    isReadOnly ? { unflag: MOUNT_ATTR_RDONLY } : { flag: MOUNT_ATTR_RDONLY },
  )
  parsed.flags = setBits(parsed.flags, isReadOnly ? { flag: MS_RDONLY } : { unflag: MS_RDONLY })
}

function setBits(bits: number, change: { flag?: number; unflag?: number }): number {
  return (bits & ~(change.unflag ?? 0)) | (change.flag ?? 0)
}

function splitOptions(options: string): string[] {
  if (options.includes('\0')) throw new TypeError('mount options must not contain a NUL character')
  const words: string[] = []
  let word = ''
  let isQuoted = false
  for (const character of options) {
    if (character === '"') isQuoted = !isQuoted
    if (character === ',' && !isQuoted) {
      words.push(word)
      word = ''
    } else {
      word += character
    }
  }
  if (isQuoted) throw new TypeError(`mount options ${JSON.stringify(options)}: a quote has no end`)
  return [...words, word].filter((one) => one !== '')
}

function splitWord(word: string): [string, string | null] {
  const equals = word.indexOf('=')
  if (equals === 0) throw new TypeError(`mount option '${word}' has no name`)
  if (equals === -1) return [word, null]
  // The quotes keep commas from splitting; the new interface needs them no more.
  return [word.slice(0, equals), word.slice(equals + 1).replaceAll('"', '')]
}
