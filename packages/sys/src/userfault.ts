// userfaultfd: page faults of a mapping answered by a program.
import { AT_PAGESZ, EFAULT } from './generated/constants/errno.ts'
import { O_CLOEXEC } from './generated/constants/open.ts'
import {
  UFFDIO_API,
  UFFDIO_CONTINUE,
  UFFDIO_COPY,
  UFFDIO_REGISTER,
  UFFDIO_UNREGISTER,
  UFFDIO_WAKE,
  UFFDIO_WRITEPROTECT,
  UFFDIO_ZEROPAGE,
  UFFD_API,
  UFFD_EVENT_FORK,
  UFFD_EVENT_PAGEFAULT,
  UFFD_EVENT_REMAP,
  UFFD_EVENT_REMOVE,
  UFFD_EVENT_UNMAP,
  UFFD_USER_MODE_ONLY,
} from './generated/constants/userfault.ts'
import { check, isSysError } from './errno.ts'
import { type AsFd, fdNumber, OwnedFd } from './fd.ts'
import { liveMapping } from './memory/mapping.ts'
import type { Mapping } from './memory.ts'
import { auxiliaryVector } from './param/auxiliary-vector.ts'
import { addressOf, bind } from './raw.ts'
import { bytes, size, u32, u64 } from './raw/arguments.ts'
import { alloc, view } from './struct.ts'
import * as structs from './generated/structs/memory.ts'

const raw = {
  userfaultfd: bind('userfaultfd', 'int'),
  ioctl: bind('ioctl', 'int', 'int', 'ptr'),
  read: bind('read', 'int', 'ptr', 'int'),
}

/**
 * `userfaultfd(flags)` — a descriptor that is told of page faults, close-on-exec, with the kernel's handshake done.
 *
 * UFFD_USER_MODE_ONLY is always set, which needs no privilege. A thread that touches a registered page which is not
 * there sleeps until someone fills it: never touch one from the thread that is to fill it.
 *
 * @param features - UFFD_FEATURE_* that are wanted
 * @param flags - O_NONBLOCK
 * @throws {@link SysError} `EINVAL` a feature that this kernel has not; `ENOSYS`
 * @see https://man7.org/linux/man-pages/man2/userfaultfd.2.html
 */
export function userfaultfd(features: number | bigint = 0, flags = 0): OwnedFd {
  const fd = new OwnedFd(
    check(raw.userfaultfd(u32(flags, 'flags') | O_CLOEXEC | UFFD_USER_MODE_ONLY), 'userfaultfd'),
  )
  try {
    const api = alloc(structs.uffdio_api)
    api.set('api', UFFD_API)
    api.set('features', u64(features, 'features'))
    check(raw.ioctl(fd.fd, UFFDIO_API, api.bytes), 'ioctl')
    return fd
  } catch (error) {
    fd.close()
    throw error
  }
}

/**
 * `ioctl(fd, UFFDIO_REGISTER, argp)` — has the faults of a mapping told.
 *
 * @param mode - UFFDIO_REGISTER_MODE_MISSING, UFFDIO_REGISTER_MODE_WP …
 * @throws {@link SysError} `EINVAL` not such a mapping; `EBUSY` another has it
 * @see https://man7.org/linux/man-pages/man2/ioctl_userfaultfd.2.html
 */
export function ioctl_uffdio_register(fd: AsFd, mapping: Mapping, mode: number): void {
  const request = alloc(structs.uffdio_register)
  request.set('range.start', liveMapping(mapping).address)
  request.set('range.len', roundUp(mapping.bytes.length))
  request.set('mode', u64(mode, 'mode'))
  check(raw.ioctl(fdNumber(fd), UFFDIO_REGISTER, request.bytes), 'ioctl')
}

/**
 * `ioctl(fd, UFFDIO_COPY, argp)` — puts pages into a registered mapping where there are none, and wakes who waits.
 *
 * @param offset - in the mapping; a multiple of the page size
 * @param content - whole pages
 * @param mode - UFFDIO_COPY_MODE_DONTWAKE: {@link ioctl_uffdio_wake} does that later; UFFDIO_COPY_MODE_WP
 * @throws {@link SysError} `EEXIST` a page is there; `EINVAL` no whole pages
 * @see https://man7.org/linux/man-pages/man2/UFFDIO_COPY.2const.html
 */
export function ioctl_uffdio_copy(
  fd: AsFd,
  mapping: Mapping,
  offset: number,
  content: Uint8Array,
  mode = 0,
): void {
  const source = new Uint8Array(new ArrayBuffer(bytes(content, 'content').length))
  source.set(content)
  const request = alloc(structs.uffdio_copy)
  request.set('dst', liveMapping(mapping).address + inside(mapping, offset, content.length))
  request.set('src', addressOf(source))
  request.set('len', content.length)
  request.set('mode', u64(mode, 'mode'))
  check(raw.ioctl(fdNumber(fd), UFFDIO_COPY, request.bytes), 'ioctl')
  source.fill(0) // touched after the call, so that it lives until then
}

/** `ioctl(fd, UFFDIO_ZEROPAGE, argp)` — {@link ioctl_uffdio_copy} of zeros. */
export function ioctl_uffdio_zeropage(
  fd: AsFd,
  mapping: Mapping,
  offset: number,
  lengthBytes: number,
  mode = 0,
): void {
  withPages(fd, UFFDIO_ZEROPAGE, mapping, { offset, lengthBytes, mode })
}

/**
 * `ioctl(fd, UFFDIO_CONTINUE, argp)` — lets pages that are in the file already appear in a mapping of it that is registered
 * with UFFDIO_REGISTER_MODE_MINOR, and wakes who waits. In kernels since Linux 5.13.
 *
 * @param mode - UFFDIO_CONTINUE_MODE_DONTWAKE, UFFDIO_CONTINUE_MODE_WP
 * @throws {@link SysError} `EFAULT` the file has no page there; `EEXIST` it is mapped already
 * @see https://man7.org/linux/man-pages/man2/UFFDIO_CONTINUE.2const.html
 */
export function ioctl_uffdio_continue(
  fd: AsFd,
  mapping: Mapping,
  offset: number,
  lengthBytes: number,
  mode = 0,
): void {
  withPages(fd, UFFDIO_CONTINUE, mapping, { offset, lengthBytes, mode })
}

/**
 * `ioctl(fd, UFFDIO_WRITEPROTECT, argp)` — has writes to pages told, or ends that and wakes who waits. The mapping is
 * registered with UFFDIO_REGISTER_MODE_WP.
 *
 * @param mode - UFFDIO_WRITEPROTECT_MODE_WP: told from now on; 0: no more. UFFDIO_WRITEPROTECT_MODE_DONTWAKE
 * @throws {@link SysError} `ENOENT` not registered so; `EINVAL`
 * @see https://man7.org/linux/man-pages/man2/UFFDIO_WRITEPROTECT.2const.html
 */
export function ioctl_uffdio_writeprotect(
  fd: AsFd,
  mapping: Mapping,
  offset: number,
  lengthBytes: number,
  mode: number,
): void {
  withPages(fd, UFFDIO_WRITEPROTECT, mapping, { offset, lengthBytes, mode })
}

/**
 * `ioctl(fd, UFFDIO_WAKE, argp)` — wakes who waits for pages, after calls that did not: those touch them once more.
 *
 * @see https://man7.org/linux/man-pages/man2/UFFDIO_WAKE.2const.html
 */
export function ioctl_uffdio_wake(fd: AsFd, mapping: Mapping, offset: number, lengthBytes: number): void {
  const range = alloc(structs.uffdio_range)
  range.set('start', liveMapping(mapping).address + inside(mapping, offset, lengthBytes))
  range.set('len', lengthBytes)
  check(raw.ioctl(fdNumber(fd), UFFDIO_WAKE, range.bytes), 'ioctl')
}

/**
 * `ioctl(fd, UFFDIO_UNREGISTER, argp)` — ends {@link ioctl_uffdio_register}, and wakes who waits.
 *
 * @see https://man7.org/linux/man-pages/man2/UFFDIO_UNREGISTER.2const.html
 */
export function ioctl_uffdio_unregister(fd: AsFd, mapping: Mapping): void {
  const range = alloc(structs.uffdio_range)
  range.set('start', liveMapping(mapping).address)
  range.set('len', roundUp(mapping.bytes.length))
  check(raw.ioctl(fdNumber(fd), UFFDIO_UNREGISTER, range.bytes), 'ioctl')
}

/** What a descriptor of {@link userfaultfd} tells: `struct uffd_msg`. Events but faults only where they were asked for. */
export type UserfaultEvent =
  | {
      event: 'pagefault'
      /** UFFD_PAGEFAULT_FLAG_WRITE, UFFD_PAGEFAULT_FLAG_WP, UFFD_PAGEFAULT_FLAG_MINOR. */
      flags: bigint
      /** The page; with UFFD_FEATURE_EXACT_ADDRESS the byte that was touched. */
      address: bigint
      /** The thread that waits, with UFFD_FEATURE_THREAD_ID; else 0. */
      ptid: number
    }
  | { event: 'fork'; /** A descriptor for the child's memory, which the caller closes. */ ufd: OwnedFd }
  | { event: 'remap'; from: bigint; to: bigint; len: bigint }
  | { event: 'remove' | 'unmap'; start: bigint; end: bigint }

/** Events taken at once. */
const eventsMax = 64

/**
 * The events that wait to be read; none when a non-blocking descriptor has none. Blocks otherwise.
 *
 * @throws {@link SysError} `EBADF`; TypeError what was read is no such event
 * @see https://man7.org/linux/man-pages/man2/userfaultfd.2.html
 *
 * @example
 * ```ts no-run
 * import { O_NONBLOCK, UFFDIO_REGISTER_MODE_MISSING } from '@pkg/sys/constants'
 * import { mmap } from '@pkg/sys/memory'
 * import { pageSize } from '@pkg/sys/param'
 * import { reactor } from '@pkg/sys/reactor'
 * import { ioctl_uffdio_copy, ioctl_uffdio_register, userfaultEvents, userfaultfd } from '@pkg/sys/userfault'
 *
 * using faults = userfaultfd(0, O_NONBLOCK)
 * using memory = mmap({ lengthBytes: 16 * pageSize() })
 * ioctl_uffdio_register(faults, memory, UFFDIO_REGISTER_MODE_MISSING)
 * // Other threads get to work on the memory here.
 * for (;;) {
 *   await reactor().readable(faults)
 *   for (const event of userfaultEvents(faults)) {
 *     if (event.event !== 'pagefault') continue
 *     const offset = Number(event.address) - memory.address
 *     ioctl_uffdio_copy(faults, memory, offset, new Uint8Array(pageSize()).fill(1))
 *   }
 * }
 * ```
 */
export function userfaultEvents(fd: AsFd): UserfaultEvent[] {
  const number = fdNumber(fd)
  const buffer = new Uint8Array(new ArrayBuffer(eventsMax * structs.uffd_msg.size))
  let count: number
  try {
    count = check(raw.read(number, buffer, buffer.length), 'read') / structs.uffd_msg.size
  } catch (error) {
    if (isSysError(error, 'EAGAIN')) return []
    throw error
  }
  // Before any number is taken for a descriptor: others do not know this request (ENOTTY), or read another argument.
  if (count > 0 && raw.ioctl(number, UFFDIO_WAKE, null) !== -EFAULT)
    throw new TypeError('the descriptor is none of userfaultfd')
  return Array.from({ length: count }, (_, index) => decode(buffer, index * structs.uffd_msg.size))
}

function decode(buffer: Uint8Array, at: number): UserfaultEvent {
  const message = view(structs.uffd_msg, buffer, at)
  const kind = message.get('event')
  switch (kind) {
    case UFFD_EVENT_PAGEFAULT:
      return {
        event: 'pagefault',
        flags: message.get('arg.pagefault.flags'),
        address: message.get('arg.pagefault.address'),
        ptid: message.get('arg.pagefault.feat.ptid'),
      }
    case UFFD_EVENT_FORK:
      return { event: 'fork', ufd: new OwnedFd(message.get('arg.fork.ufd')) }
    case UFFD_EVENT_REMAP:
      return {
        event: 'remap',
        from: message.get('arg.remap.from'),
        to: message.get('arg.remap.to'),
        len: message.get('arg.remap.len'),
      }
    case UFFD_EVENT_REMOVE:
    case UFFD_EVENT_UNMAP:
      return {
        event: kind === UFFD_EVENT_REMOVE ? 'remove' : 'unmap',
        start: message.get('arg.remove.start'),
        end: message.get('arg.remove.end'),
      }
    default:
      throw new TypeError(`not an event of userfaultfd: ${kind}`)
  }
}

function roundUp(lengthBytes: number): number {
  const pageSize = Number(auxiliaryVector().get(AT_PAGESZ) ?? 4096n)
  return Math.ceil(lengthBytes / pageSize) * pageSize
}

function inside(mapping: Mapping, offset: number, lengthBytes: number): number {
  if (size(offset, 'offset') + size(lengthBytes, 'lengthBytes') > roundUp(mapping.bytes.length)) {
    throw new RangeError(`offset: ${offset} and ${lengthBytes} bytes are not in the mapping`)
  }
  return offset
}

/** Range and mode: `struct uffdio_continue` names them so too, and `uffdio_writeprotect`, which has nothing after them. */
function withPages(
  fd: AsFd,
  request: number,
  mapping: Mapping,
  { offset, lengthBytes, mode }: { offset: number; lengthBytes: number; mode: number },
): void {
  const argument = alloc(structs.uffdio_zeropage)
  argument.set('range.start', liveMapping(mapping).address + inside(mapping, offset, lengthBytes))
  argument.set('range.len', lengthBytes)
  argument.set('mode', u64(mode, 'mode'))
  check(raw.ioctl(fdNumber(fd), request, argument.bytes), 'ioctl')
}
