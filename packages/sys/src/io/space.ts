// The room that a file takes, and what of it is kept in memory.
import { check } from '../errno.ts'
import { type AsFd, fdNumber } from '../fd.ts'
import { bind } from '../raw.ts'
import { s64, size, u32, u64 } from '../raw/arguments.ts'
import { alloc } from '../struct.ts'
import * as structs from '../generated/structs/memory.ts'

const raw = {
  fallocate: bind('fallocate', 'int', 'int', 'int', 'int'),
  fadvise64: bind('fadvise64', 'int', 'int', 'int', 'int'),
  readahead: bind('readahead', 'int', 'int', 'int'),
  syncFileRange: bind('sync_file_range', 'int', 'int', 'int', 'int'),
  cachestat: bind('cachestat', 'int', 'ptr', 'ptr', 'int'),
}

/** A part of a file, in bytes. */
export interface FileRange {
  /** Where it begins. */
  offset: number | bigint
  /** How long it is; 0 for some calls: to the end. */
  length: number | bigint
}

/**
 * `fallocate(fd, mode, offset, size)` — gives a file its blocks before they are written, or takes them away.
 *
 * Blocks: on slow media.
 *
 * @param mode - 0, or FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE, FALLOC_FL_ZERO_RANGE, FALLOC_FL_COLLAPSE_RANGE …
 * @throws {@link SysError} `ENOSPC`; `EOPNOTSUPP` the file system cannot; `EINVAL`
 * @see https://man7.org/linux/man-pages/man2/fallocate.2.html
 */
export function fallocate(fd: AsFd, mode: number, range: FileRange): void {
  const [offset, length] = [s64(range.offset, 'offset'), s64(range.length, 'length')]
  check(raw.fallocate(fdNumber(fd), u32(mode, 'mode'), offset, length), 'fallocate')
}

/**
 * `fadvise64(fd, offset, size, advice)` — says how a file will be read.
 *
 * @param advice - POSIX_FADV_SEQUENTIAL, POSIX_FADV_WILLNEED, POSIX_FADV_DONTNEED …
 * @throws {@link SysError} `ESPIPE` a pipe; `EINVAL` unknown advice
 * @see https://man7.org/linux/man-pages/man2/posix_fadvise.2.html
 */
export function fadvise64(fd: AsFd, range: FileRange, advice: number): void {
  const [offset, length] = [s64(range.offset, 'offset'), s64(range.length, 'length')]
  check(raw.fadvise64(fdNumber(fd), offset, length, u32(advice, 'advice')), 'fadvise64')
}

/**
 * `readahead(fd, offset, count)` — begins to read a part of a file into memory. May block until it is queued.
 *
 * @throws {@link SysError} `EINVAL` no regular file; `EBADF` not open for reading
 * @see https://man7.org/linux/man-pages/man2/readahead.2.html
 */
export function readahead(fd: AsFd, offset: number | bigint, sizeBytes: number): void {
  check(raw.readahead(fdNumber(fd), s64(offset, 'offset'), size(sizeBytes, 'sizeBytes')), 'readahead')
}

/**
 * `sync_file_range(fd, offset, nbytes, flags)` — begins to write out a part of a file, or waits for it. Metadata is not
 * written: for data that must survive use `fdatasync`.
 *
 * @param flags - SYNC_FILE_RANGE_WAIT_BEFORE, SYNC_FILE_RANGE_WRITE, SYNC_FILE_RANGE_WAIT_AFTER
 * @throws {@link SysError} `ESPIPE` no file or device; `EIO`
 * @see https://man7.org/linux/man-pages/man2/sync_file_range.2.html
 */
export function sync_file_range(fd: AsFd, range: FileRange, flags: number): void {
  const [offset, length] = [s64(range.offset, 'offset'), s64(range.length, 'length')]
  check(raw.syncFileRange(fdNumber(fd), offset, length, u32(flags, 'flags')), 'sync_file_range')
}

/** How much of a file is in the page cache, in pages: `struct cachestat`. */
export interface Cachestat {
  /** Pages in the cache. */
  nr_cache: bigint
  /** Of those, not written yet. */
  nr_dirty: bigint
  /** Of those, being written. */
  nr_writeback: bigint
  /** Pages that were thrown out. */
  nr_evicted: bigint
  /** Of those, while they were in use. */
  nr_recently_evicted: bigint
}

/**
 * `cachestat(fd, cstat_range, cstat, flags)` — how much of a part of a file is in memory. Since: Linux 6.5.
 *
 * @param range - length 0: to the end
 * @throws {@link SysError} `EOPNOTSUPP` huge pages; `EPERM` another's file
 * @see https://man7.org/linux/man-pages/man2/cachestat.2.html
 */
export function cachestat(fd: AsFd, range: FileRange): Cachestat {
  const part = alloc(structs.cachestat_range)
  part.set('off', u64(range.offset, 'offset'))
  part.set('len', u64(range.length, 'length'))
  const result = alloc(structs.cachestat)
  check(raw.cachestat(fdNumber(fd), part.bytes, result.bytes, 0), 'cachestat')
  return {
    nr_cache: result.get('nr_cache'),
    nr_dirty: result.get('nr_dirty'),
    nr_writeback: result.get('nr_writeback'),
    nr_evicted: result.get('nr_evicted'),
    nr_recently_evicted: result.get('nr_recently_evicted'),
  }
}
