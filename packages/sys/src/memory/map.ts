// mmap(2).
import { MAP_ANONYMOUS, MAP_PRIVATE, PROT_READ, PROT_WRITE } from '../generated/constants/memory.ts'
import { check } from '../errno.ts'
import { type AsFd, fdNumber } from '../fd.ts'
import { bind } from '../raw.ts'
import { s64, u32 } from '../raw/arguments.ts'
import { makeMapping, type Mapping } from './mapping.ts'

const raw = {
  mmap: bind('mmap', 'ptr', 'int', 'int', 'int', 'int', 'int'),
}

/** What to map. */
export interface MmapOptions {
  /**
   * How much; the kernel rounds up to pages. Give whole huge pages with MAP_HUGETLB and for files of such: it maps
   * those, and `mprotect`, `madvise` and their like refuse parts of them.
   */
  lengthBytes: number
  /** PROT_READ, PROT_WRITE. Default: both. */
  prot?: number
  /** MAP_PRIVATE, MAP_SHARED, MAP_POPULATE …. Default: MAP_PRIVATE | MAP_ANONYMOUS. */
  flags?: number
  /** The file to map; none for MAP_ANONYMOUS. */
  fd?: AsFd
  /** Where in the file it begins: a multiple of the page size. Default: 0. */
  offsetBytes?: number
}

/**
 * `mmap(addr, length, prot, flags, fd, offset)`, and `munmap` at disposal — maps a file or fresh memory, where the kernel
 * likes.
 *
 * @throws {@link SysError} `ENOMEM`; `EACCES` the file is not open for that; RangeError for MAP_FIXED, which
 * could overwrite the engine's own memory
 * @see https://man7.org/linux/man-pages/man2/mmap.2.html
 *
 * @example
 * ```ts
 * import { mmap } from '@pkg/sys/memory'
 *
 * using memory = mmap({ lengthBytes: 4096 })
 * memory.bytes[0] = 1
 * console.assert(memory.address % 4096 === 0)
 * ```
 */
export function mmap(options: MmapOptions): Mapping {
  const { lengthBytes, prot = PROT_READ | PROT_WRITE, flags = MAP_PRIVATE | MAP_ANONYMOUS } = options
  const MAP_FIXED_ANY = 0x10 | 0x100000 // MAP_FIXED, MAP_FIXED_NOREPLACE
  if ((flags & MAP_FIXED_ANY) !== 0) throw new RangeError('mmap: a fixed address is not possible here')
  if (!Number.isSafeInteger(lengthBytes) || lengthBytes <= 0)
    throw new RangeError(`lengthBytes: ${lengthBytes}`)
  const fd = options.fd === undefined ? -1 : fdNumber(options.fd)
  const offset = s64(options.offsetBytes ?? 0, 'offsetBytes')
  const result = raw.mmap(null, lengthBytes, u32(prot, 'prot'), u32(flags, 'flags'), fd, offset)
  const address = check(result, 'mmap')
  return makeMapping(address, lengthBytes)
}
