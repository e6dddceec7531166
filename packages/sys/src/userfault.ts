// userfaultfd: page faults of a mapping answered by a program.
import { O_CLOEXEC } from './generated/constants/open.ts'
import {
  UFFDIO_API,
  UFFDIO_COPY,
  UFFDIO_REGISTER,
  UFFDIO_ZEROPAGE,
  UFFD_API,
  UFFD_USER_MODE_ONLY,
} from './generated/constants/userfault.ts'
import { check } from './errno.ts'
import { type AsFd, fdNumber, OwnedFd } from './fd.ts'
import { liveMapping } from './memory/mapping.ts'
import type { Mapping } from './memory.ts'
import { addressOf, bind } from './raw.ts'
import { bytes, size, u32, u64 } from './raw/arguments.ts'
import { alloc } from './struct.ts'
import * as structs from './generated/structs/memory.ts'

const raw = {
  userfaultfd: bind('userfaultfd', 'int'),
  ioctl: bind('ioctl', 'int', 'int', 'ptr'),
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
 * @throws {@link SysError} `EEXIST` a page is there; `EINVAL` no whole pages
 * @see https://man7.org/linux/man-pages/man2/ioctl_userfaultfd.2.html
 */
export function ioctl_uffdio_copy(fd: AsFd, mapping: Mapping, offset: number, content: Uint8Array): void {
  const source = new Uint8Array(new ArrayBuffer(bytes(content, 'content').length))
  source.set(content)
  const request = alloc(structs.uffdio_copy)
  request.set('dst', liveMapping(mapping).address + inside(mapping, offset, content.length))
  request.set('src', addressOf(source))
  request.set('len', content.length)
  check(raw.ioctl(fdNumber(fd), UFFDIO_COPY, request.bytes), 'ioctl')
  source.fill(0) // touched after the call, so that it lives until then
}

/** `ioctl(fd, UFFDIO_ZEROPAGE, argp)` — {@link ioctl_uffdio_copy} of zeros. */
export function ioctl_uffdio_zeropage(fd: AsFd, mapping: Mapping, offset: number, lengthBytes: number): void {
  const request = alloc(structs.uffdio_zeropage)
  request.set('range.start', liveMapping(mapping).address + inside(mapping, offset, lengthBytes))
  request.set('range.len', lengthBytes)
  check(raw.ioctl(fdNumber(fd), UFFDIO_ZEROPAGE, request.bytes), 'ioctl')
}

const pageSize = 4096

function roundUp(lengthBytes: number): number {
  return Math.ceil(lengthBytes / pageSize) * pageSize
}

function inside(mapping: Mapping, offset: number, lengthBytes: number): number {
  if (size(offset, 'offset') + size(lengthBytes, 'lengthBytes') > roundUp(mapping.bytes.length)) {
    throw new RangeError(`offset: ${offset} and ${lengthBytes} bytes are not in the mapping`)
  }
  return offset
}
