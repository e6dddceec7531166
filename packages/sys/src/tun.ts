// TUN and TAP: network interfaces whose packets a program reads and writes.
import { TUNGETIFF, TUNSETIFF, TUNSETOWNER, TUNSETPERSIST } from './generated/constants/tun.ts'
import { check } from './errno.ts'
import { type AsFd, fdNumber } from './fd.ts'
import { bind } from './raw.ts'
import { cString, fromCString, u32 } from './raw/arguments.ts'

const raw = {
  ioctl: bind('ioctl', 'int', 'int', 'int'),
  ioctlPointer: bind('ioctl', 'int', 'int', 'ptr'),
}

/** `IFNAMSIZ` (linux/if.h), and `sizeof(struct ifreq)`: name, then flags at 16. */
const nameSize = 16
const ifreqSize = 40

/** An interface. */
export interface TunInterface {
  /** `tun0` */
  name: string
  /** IFF_TUN or IFF_TAP, IFF_NO_PI, IFF_VNET_HDR … */
  flags: number
}

/**
 * `ioctl(fd, TUNSETIFF, ifreq)` — makes an interface, or attaches to one; returns its name. Needs: CAP_NET_ADMIN.
 *
 * @param fd - /dev/net/tun, opened anew for each
 * @param options - a name such as `tun%d` gets a number; without one the kernel chooses
 * @throws {@link SysError} `EBUSY` somebody has it; `EPERM`; `EINVAL`
 * @see https://docs.kernel.org/networking/tuntap.html
 *
 * @example
 * ```ts no-run
 * import { AT_FDCWD, IFF_NO_PI, IFF_TUN, O_RDWR } from '@pkg/sys/constants'
 * import { openat } from '@pkg/sys/fs'
 * import { ioctl_tunsetiff } from '@pkg/sys/tun'
 *
 * using tun = openat(AT_FDCWD, '/dev/net/tun', O_RDWR)
 * console.log(ioctl_tunsetiff(tun, { name: 'vpn%d', flags: IFF_TUN | IFF_NO_PI }))
 * ```
 */
export function ioctl_tunsetiff(fd: AsFd, options: TunInterface): string {
  const request = new Uint8Array(new ArrayBuffer(ifreqSize))
  const name = cString(options.name, 'name')
  if (name.length > nameSize)
    throw new RangeError(`name is longer than ${nameSize - 1} bytes: ${options.name}`)
  request.set(name)
  new DataView(request.buffer).setInt16(nameSize, u32(options.flags, 'flags'), true)
  check(raw.ioctlPointer(fdNumber(fd), TUNSETIFF, request), 'ioctl', options.name)
  return fromCString(request.subarray(0, nameSize))
}

/** `ioctl(fd, TUNGETIFF, ifreq)` — the interface of a descriptor; `EBADFD` it has none. */
export function ioctl_tungetiff(fd: AsFd): TunInterface {
  const request = new Uint8Array(new ArrayBuffer(ifreqSize))
  check(raw.ioctlPointer(fdNumber(fd), TUNGETIFF, request), 'ioctl')
  const flags = new DataView(request.buffer).getUint16(nameSize, true)
  return { name: fromCString(request.subarray(0, nameSize)), flags }
}

/** `ioctl(fd, TUNSETPERSIST, on)` — whether an interface outlives its descriptor. */
export function ioctl_tunsetpersist(fd: AsFd, on: boolean): void {
  check(raw.ioctl(fdNumber(fd), TUNSETPERSIST, on ? 1 : 0), 'ioctl')
}

/** `ioctl(fd, TUNSETOWNER, uid)` — who may attach to an interface besides root. */
export function ioctl_tunsetowner(fd: AsFd, uid: number): void {
  check(raw.ioctl(fdNumber(fd), TUNSETOWNER, u32(uid, 'uid')), 'ioctl')
}
