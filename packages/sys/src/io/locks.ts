// Locks of files: of whole ones, and of ranges by open file description.
import { check, isSysError } from '../errno.ts'
import { type AsFd, fdNumber } from '../fd.ts'
import {
  F_OFD_GETLK,
  F_OFD_SETLK,
  F_OFD_SETLKW,
  F_RDLCK,
  F_UNLCK,
  F_WRLCK,
} from '../generated/constants/open.ts'
import { bind } from '../raw.ts'
import { s64, u32 } from '../raw/arguments.ts'
import { alloc, type StructView } from '../struct.ts'
import * as structs from '../generated/structs/file.ts'
import type { FileRange } from './space.ts'

const raw = {
  flock: bind('flock', 'int', 'int'),
  fcntlPointer: bind('fcntl', 'int', 'int', 'ptr'),
}

/**
 * `flock(fd, op)` — locks or unlocks a whole file, for the open file description and its duplicates.
 *
 * Blocks: yes, without LOCK_NB: then nothing else of this thread runs.
 *
 * @param operation - LOCK_SH, LOCK_EX or LOCK_UN, with LOCK_NB
 * @throws {@link SysError} `EWOULDBLOCK` (its code is `EAGAIN`) another has it
 * @see https://man7.org/linux/man-pages/man2/flock.2.html
 *
 * @example
 * ```ts
 * import { LOCK_EX, LOCK_NB } from '@pkg/sys/constants'
 * import { flock, memfd_create } from '@pkg/sys/io'
 *
 * using file = memfd_create('lock', 0)
 * flock(file, LOCK_EX | LOCK_NB)
 * ```
 */
export function flock(fd: AsFd, operation: number): void {
  check(raw.flock(fdNumber(fd), u32(operation, 'operation')), 'flock')
}

/** Which lock: F_RDLCK, F_WRLCK or F_UNLCK, and of what. */
export interface RangeLock extends FileRange {
  /** F_RDLCK (shared), F_WRLCK (exclusive) or F_UNLCK. */
  type: number
}

function flockStruct(lock: RangeLock): StructView<typeof structs.flock> {
  if (![F_RDLCK, F_WRLCK, F_UNLCK].includes(lock.type)) throw new RangeError(`type: ${lock.type}`)
  const struct = alloc(structs.flock)
  struct.set('l_type', lock.type)
  struct.set('l_start', s64(lock.offset, 'offset'))
  struct.set('l_len', s64(lock.length, 'length'))
  return struct
}

/**
 * `fcntl(fd, F_OFD_SETLK, lock)` — locks or unlocks a range of a file for the open file description, which other
 * descriptions of this process respect too.
 *
 * @returns false while another has a lock in the way
 * @throws {@link SysError} `EBADF` not open for that; `EINVAL`
 * @see https://man7.org/linux/man-pages/man2/F_OFD_SETLK.2const.html
 */
export function fcntl_ofd_setlk(fd: AsFd, lock: RangeLock): boolean {
  try {
    check(raw.fcntlPointer(fdNumber(fd), F_OFD_SETLK, flockStruct(lock).bytes), 'fcntl')
    return true
  } catch (error) {
    if (isSysError(error, 'EAGAIN') || isSysError(error, 'EACCES')) return false
    throw error
  }
}

/**
 * `fcntl(fd, F_OFD_SETLKW, lock)` — {@link fcntl_ofd_setlk} that waits. Blocks this thread for as long as that takes.
 *
 * @throws {@link SysError} `EINTR`; `EDEADLK`
 */
export function fcntl_ofd_setlkw(fd: AsFd, lock: RangeLock): void {
  check(raw.fcntlPointer(fdNumber(fd), F_OFD_SETLKW, flockStruct(lock).bytes), 'fcntl')
}

/**
 * `fcntl(fd, F_OFD_GETLK, lock)` — a lock that is in the way of `lock`; null when there is none.
 *
 * @see https://man7.org/linux/man-pages/man2/F_OFD_GETLK.2const.html
 */
export function fcntl_ofd_getlk(fd: AsFd, lock: RangeLock): RangeLock | null {
  const struct = flockStruct(lock)
  check(raw.fcntlPointer(fdNumber(fd), F_OFD_GETLK, struct.bytes), 'fcntl')
  const type = struct.get('l_type')
  if (type === F_UNLCK) return null
  return { type, offset: struct.get('l_start'), length: struct.get('l_len') }
}
