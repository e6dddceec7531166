// `lo` up: the first thing a network namespace needs, for 127.0.0.1 does not answer before.
import { setLink } from './link.ts'
import { openRtnetlink } from './netlink.ts'

/**
 * Switches the loopback link on; the kernel gives it 127.0.0.1/8 and ::1/128 by itself. Returns at once. Needs
 * CAP_NET_ADMIN. Does nothing when it is on already.
 *
 * @throws {@link SysError} `EPERM` without CAP_NET_ADMIN
 * @see net/ipv4/devinet.c inetdev_event(), NETDEV_UP
 * @example
 * ```ts no-run
 * import { bringUpLoopback } from '@pkg/net/loopback'
 *
 * bringUpLoopback()
 * ```
 */
export function bringUpLoopback(): void {
  using rt = openRtnetlink()
  setLink(rt, 'lo', { up: true })
}
