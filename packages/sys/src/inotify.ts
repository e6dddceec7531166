// inotify: being told of changes to files and folders by name.
import { IN_CLOEXEC } from './generated/constants/notify.ts'
import { check, isSysError } from './errno.ts'
import { type AsFd, fdNumber, OwnedFd } from './fd.ts'
import { bind } from './raw.ts'
import { cString, fromCString, u32 } from './raw/arguments.ts'

const raw = {
  init1: bind('inotify_init1', 'int'),
  addWatch: bind('inotify_add_watch', 'int', 'ptr', 'int'),
  rmWatch: bind('inotify_rm_watch', 'int', 'int'),
  read: bind('read', 'int', 'ptr', 'int'),
}

/**
 * `inotify_init1(flags)` — a descriptor that becomes readable when something that it watches changes. Close-on-exec.
 *
 * @param flags - IN_NONBLOCK
 * @throws {@link SysError} `EMFILE` more than /proc/sys/fs/inotify/max_user_instances
 * @see https://man7.org/linux/man-pages/man2/inotify_init.2.html
 *
 * @example
 * ```ts
 * import { writeFileSync } from 'node:fs'
 * import { IN_CLOSE_WRITE, IN_NONBLOCK } from '@pkg/sys/constants'
 * import { inotify_add_watch, inotify_init1, inotifyEvents } from '@pkg/sys/inotify'
 * import { reactor } from '@pkg/sys/reactor'
 *
 * using inotify = inotify_init1(IN_NONBLOCK)
 * inotify_add_watch(inotify, '.', IN_CLOSE_WRITE)
 * writeFileSync('new', '')
 * await reactor().readable(inotify)
 * console.assert(inotifyEvents(inotify)[0]?.name === 'new')
 * ```
 */
export function inotify_init1(flags = 0): OwnedFd {
  return new OwnedFd(check(raw.init1(u32(flags, 'flags') | IN_CLOEXEC), 'inotify_init1'))
}

/**
 * `inotify_add_watch(fd, pathname, mask)` — watches a file or what is in a folder; returns the watch's number.
 *
 * @param mask - IN_CREATE, IN_CLOSE_WRITE, IN_MOVED_TO, IN_DELETE …; IN_ONLYDIR, IN_MASK_ADD, IN_ONESHOT
 * @throws {@link SysError} `ENOENT`; `ENOSPC` more than /proc/sys/fs/inotify/max_user_watches
 * @see https://man7.org/linux/man-pages/man2/inotify_add_watch.2.html
 */
export function inotify_add_watch(fd: AsFd, path: string, mask: number): number {
  return check(raw.addWatch(fdNumber(fd), cString(path), u32(mask, 'mask')), 'inotify_add_watch', path)
}

/**
 * `inotify_rm_watch(fd, wd)` — ends a watch; IN_IGNORED follows.
 *
 * @throws {@link SysError} `EINVAL` no such watch
 * @see https://man7.org/linux/man-pages/man2/inotify_rm_watch.2.html
 */
export function inotify_rm_watch(fd: AsFd, watch: number): void {
  check(raw.rmWatch(fdNumber(fd), u32(watch, 'watch')), 'inotify_rm_watch')
}

/** A change. */
export interface InotifyEvent {
  /** The watch that saw it; −1 for IN_Q_OVERFLOW: events were lost. */
  wd: number
  /** IN_*. */
  mask: number
  /** Equal for the two halves of a rename, else 0. */
  cookie: number
  /** The name in the watched folder; empty for what is watched itself. */
  name: string
}

/** Room for some hundred events; one has at most 16 + 256 bytes. */
const bufferSize = 16_384

/**
 * The changes that wait to be read; none when a non-blocking descriptor has none. Blocks otherwise.
 *
 * @throws {@link SysError} `EBADF`
 */
export function inotifyEvents(fd: AsFd): InotifyEvent[] {
  const buffer = new Uint8Array(new ArrayBuffer(bufferSize))
  let size: number
  try {
    size = check(raw.read(fdNumber(fd), buffer, buffer.length), 'read')
  } catch (error) {
    if (isSysError(error, 'EAGAIN')) return []
    throw error
  }
  const fields = new DataView(buffer.buffer)
  const events: InotifyEvent[] = []
  for (let at = 0; at + 16 <= size;) {
    // struct inotify_event (linux/inotify.h): int wd, u32 mask, cookie, len, name.
    const length = fields.getUint32(at + 12, true)
    events.push({
      wd: fields.getInt32(at, true),
      mask: fields.getUint32(at + 4, true),
      cookie: fields.getUint32(at + 8, true),
      name: length === 0 ? '' : fromCString(buffer.subarray(at + 16, at + 16 + length)),
    })
    at += 16 + length
  }
  return events
}
