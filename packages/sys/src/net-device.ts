// Names and numbers of network interfaces, by typed requests to any socket.
import { SIOCGIFINDEX, SIOCGIFNAME } from './generated/constants/socket.ts'
import { check } from './errno.ts'
import { type AsFd, fdNumber } from './fd.ts'
import { bind } from './raw.ts'
import { cString, fromCString, u32 } from './raw/arguments.ts'

const raw = {
  ioctl: bind('ioctl', 'int', 'int', 'ptr'),
}

/** `IFNAMSIZ` (linux/if.h), and `sizeof(struct ifreq)`: name, then the number at 16. */
const nameSize = 16
const ifreqSize = 40

/**
 * `ioctl(fd, SIOCGIFINDEX, ifreq)` — the number of an interface, as if_nametoindex(3) gives it: for addresses of
 * AF_PACKET, the scope of IPv6's, and netlink.
 *
 * @param fd - any socket: it says in which network namespace
 * @throws {@link SysError} `ENODEV` there is none; RangeError for a name that none can have
 * @see https://man7.org/linux/man-pages/man7/netdevice.7.html
 *
 * @example
 * ```ts
 * import { AF_UNIX, SOCK_DGRAM } from '@pkg/sys/constants'
 * import { ioctl_siocgifindex, ioctl_siocgifname } from '@pkg/sys/net-device'
 * import { socket } from '@pkg/sys/socket'
 *
 * using any = socket(AF_UNIX, SOCK_DGRAM, 0)
 * const index = ioctl_siocgifindex(any, 'lo')
 * console.assert(ioctl_siocgifname(any, index) === 'lo')
 * ```
 */
export function ioctl_siocgifindex(fd: AsFd, name: string): number {
  const request = new Uint8Array(new ArrayBuffer(ifreqSize))
  const text = cString(name, 'name')
  if (text.length > nameSize) throw new RangeError(`name is longer than ${nameSize - 1} bytes: ${name}`)
  request.set(text)
  check(raw.ioctl(fdNumber(fd), SIOCGIFINDEX, request), 'ioctl', name)
  return new DataView(request.buffer).getInt32(nameSize, true)
}

/**
 * `ioctl(fd, SIOCGIFNAME, ifreq)` — the name of an interface, as if_indextoname(3) gives it. It may be renamed at any time.
 *
 * @param fd - any socket: it says in which network namespace
 * @throws {@link SysError} `ENODEV` no interface has that number
 * @see https://man7.org/linux/man-pages/man7/netdevice.7.html
 */
export function ioctl_siocgifname(fd: AsFd, index: number): string {
  const request = new Uint8Array(new ArrayBuffer(ifreqSize))
  new DataView(request.buffer).setInt32(nameSize, u32(index, 'index'), true)
  check(raw.ioctl(fdNumber(fd), SIOCGIFNAME, request), 'ioctl', String(index))
  return fromCString(request.subarray(0, nameSize))
}
