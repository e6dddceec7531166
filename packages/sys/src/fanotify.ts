// fanotify: being told of, and asked about, accesses in whole mounts and file systems.
import {
  FAN_CLOEXEC,
  FAN_EVENT_INFO_TYPE_PIDFD,
  FANOTIFY_METADATA_VERSION,
} from './generated/constants/notify.ts'
import { check, isSysError } from './errno.ts'
import { type AsFd, dirfdNumber, fdNumber, OwnedFd } from './fd.ts'
import { bind } from './raw.ts'
import { optionalCString, u32, u64 } from './raw/arguments.ts'

const raw = {
  init: bind('fanotify_init', 'int', 'int'),
  mark: bind('fanotify_mark', 'int', 'int', 'int', 'int', 'ptr'),
  read: bind('read', 'int', 'ptr', 'int'),
  write: bind('write', 'int', 'ptr', 'int'),
}

/**
 * `fanotify_init(flags, event_f_flags)` — a descriptor that is told of accesses. Close-on-exec.
 *
 * Needs: CAP_SYS_ADMIN, but for FAN_REPORT_FID with inode marks since Linux 5.13.
 *
 * @param flags - FAN_CLASS_NOTIF, FAN_CLASS_CONTENT (asks), FAN_NONBLOCK, FAN_REPORT_DFID_NAME …
 * @param eventFlags - O_* of the descriptors that come with events
 * @throws {@link SysError} `EPERM`; `EINVAL`; `EMFILE`
 * @see https://man7.org/linux/man-pages/man2/fanotify_init.2.html
 */
export function fanotify_init(flags: number, eventFlags: number): OwnedFd {
  const O_CLOEXEC = 0o2000000
  const result = raw.init(u32(flags, 'flags') | FAN_CLOEXEC, u32(eventFlags, 'eventFlags') | O_CLOEXEC)
  return new OwnedFd(check(result, 'fanotify_init'))
}

/**
 * `fanotify_mark(fanotify_fd, flags, mask, dirfd, pathname)` — says what to be told of.
 *
 * @param flags - FAN_MARK_ADD, FAN_MARK_REMOVE or FAN_MARK_FLUSH, with FAN_MARK_MOUNT, FAN_MARK_FILESYSTEM …
 * @param mask - FAN_OPEN, FAN_CLOSE_WRITE, FAN_OPEN_PERM, FAN_ONDIR …
 * @param path - null: `dirfd` itself
 * @throws {@link SysError} `ENOENT`; `EXDEV`, `ENODEV` the file system cannot; `EINVAL`
 * @see https://man7.org/linux/man-pages/man2/fanotify_mark.2.html
 */
export function fanotify_mark(
  fd: AsFd,
  flags: number,
  mask: number | bigint,
  dirfd: AsFd,
  path: string | null,
): void {
  const [number, at] = [fdNumber(fd), dirfdNumber(dirfd)]
  const result = raw.mark(number, u32(flags, 'flags'), u64(mask, 'mask'), at, optionalCString(path, 'path'))
  check(result, 'fanotify_mark', path ?? undefined)
}

/** An access. */
export interface FanotifyEvent {
  /** FAN_*. */
  mask: bigint
  /** Who. */
  pid: number
  /** The file, which the caller closes; undefined with FAN_REPORT_FID, and for FAN_Q_OVERFLOW. */
  fd: OwnedFd | undefined
  /** Of who made the access, which the caller closes; undefined without FAN_REPORT_PIDFD, and when that process is gone. */
  pidfd: OwnedFd | undefined
  /** What follows the event's head: `fanotify_event_info_*` records, with FAN_REPORT_*. */
  info: Uint8Array
}

const bufferSize = 16_384

/** `struct fanotify_event_metadata` (linux/fanotify.h): u32 event_len, u8 vers, u8, u16 metadata_len, u64 mask, s32 fd, pid. */
const headSize = 24

/** The pidfd in the `fanotify_event_info_*` records, if there is one: u8 type, u8, u16 len; then s32. */
function pidfdOf(info: Uint8Array<ArrayBuffer>): OwnedFd | undefined {
  const fields = new DataView(info.buffer)
  for (let at = 0; at + 4 <= info.length;) {
    const length = fields.getUint16(at + 2, true)
    if (length < 4) return undefined
    if (fields.getUint8(at) === FAN_EVENT_INFO_TYPE_PIDFD && at + 8 <= info.length) {
      const pidfd = fields.getInt32(at + 4, true)
      return pidfd < 0 ? undefined : new OwnedFd(pidfd) // FAN_NOPIDFD, FAN_EPIDFD
    }
    at += length
  }
  return undefined
}

/** Where the events begin in what was read. Looked at as a whole before any of its numbers is taken for a descriptor. */
function startsOf(fields: DataView, sizeBytes: number): number[] {
  const starts: number[] = []
  for (let at = 0; at < sizeBytes;) {
    const rest = sizeBytes - at
    const [length, head] =
      rest < headSize ? [0, 0] : [fields.getUint32(at, true), fields.getUint16(at + 6, true)]
    const isWhole = head >= headSize && head <= length && length <= rest
    if (!isWhole || fields.getUint8(at + 4) !== FANOTIFY_METADATA_VERSION)
      throw new TypeError('what was read is no fanotify event: the descriptor is another file’s')
    starts.push(at)
    at += length
  }
  return starts
}

/**
 * The events that wait to be read; none when a non-blocking descriptor has none. Blocks otherwise.
 *
 * @throws {@link SysError} `EMFILE` no descriptor is free for the file; TypeError for a descriptor of something else
 */
export function fanotifyEvents(fd: AsFd): FanotifyEvent[] {
  const buffer = new Uint8Array(new ArrayBuffer(bufferSize))
  let size: number
  try {
    size = check(raw.read(fdNumber(fd), buffer, buffer.length), 'read')
  } catch (error) {
    if (isSysError(error, 'EAGAIN')) return []
    throw error
  }
  const fields = new DataView(buffer.buffer)
  return startsOf(fields, size).map((at) => {
    const file = fields.getInt32(at + 16, true)
    const info = buffer.slice(at + fields.getUint16(at + 6, true), at + fields.getUint32(at, true))
    return {
      mask: fields.getBigUint64(at + 8, true),
      pid: fields.getInt32(at + 20, true),
      fd: file < 0 ? undefined : new OwnedFd(file),
      pidfd: pidfdOf(info),
      info,
    }
  })
}

/**
 * Answers a FAN_*_PERM event: whoever made the access waits for it.
 *
 * @param response - FAN_ALLOW or FAN_DENY
 * @throws {@link SysError} `ENOENT` it is answered already
 */
export function fanotifyRespond(fd: AsFd, event: FanotifyEvent, response: number): void {
  if (event.fd === undefined) throw new TypeError('the event has no descriptor to answer for')
  const words = new Int32Array(new ArrayBuffer(8))
  words.set([fdNumber(event.fd), u32(response, 'response')])
  check(raw.write(fdNumber(fd), words, 8), 'write')
}
