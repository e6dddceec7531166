/** The kernel's uevents, as they come: devices that appear after the boot, or while it looks. */
import {
  AF_NETLINK,
  EPOLLIN,
  NETLINK_KOBJECT_UEVENT,
  SO_RCVBUFFORCE,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_RAW,
  SOL_SOCKET,
} from '@pkg/sys/constants'
import { isSysError } from '@pkg/sys/errno'
import { reactor } from '@pkg/sys/reactor'
import { bind, recvfrom, setsockopt, socket } from '@pkg/sys/socket'
import { parseUevent, type Uevent } from './uevent.ts'

/** The kernel's own multicast group; udevd's messages come in group 2. */
const KERNEL_GROUP = 1
/** Room for some thousand events, taken only as they come; udevd asks for 128 MiB. */
const RECEIVE_BUFFER_BYTES = 1024 * 1024
/** UEVENT_BUFFER_SIZE is 2048 (linux/kobject.h), before it the head with the device's path. */
const buffer = new Uint8Array(new ArrayBuffer(8192))

/** What is told. */
export interface UeventListener {
  /** One event. */
  readonly onEvent: (event: Uevent) => void
  /** Events were lost because the socket's buffer ran over: look at everything again. */
  readonly onLost: () => void
}

/** The running watch. */
export interface UeventWatch extends Disposable {
  /** Takes the events that are there already, without waiting for the loop's next turn. */
  drain(): void
}

/** Listens from now on. Needs no privilege to listen; nothing is heard in a network namespace of one's own. */
export function watchUevents({ onEvent, onLost }: UeventListener): UeventWatch {
  const opened = socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, NETLINK_KOBJECT_UEVENT)
  bind(opened, { family: AF_NETLINK, pid: 0, groups: KERNEL_GROUP })
  enlargeBuffer()
  const watch = reactor().watch(opened, EPOLLIN, () => void receive())

  function enlargeBuffer(): void {
    try {
      setsockopt(opened, SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER_BYTES)
    } catch (error) {
      if (!isSysError(error)) throw error
    }
  }

  /** Takes one event; false when there is none. */
  function receive(): boolean {
    try {
      const { size, address } = recvfrom(opened, buffer, 0)
      // Only the kernel's port is 0: any process with CAP_NET_ADMIN could send to the group.
      if (address?.family !== AF_NETLINK || address.pid !== 0) return true
      const event = parseUevent(buffer.subarray(0, size))
      if (event !== null) onEvent(event)
    } catch (error) {
      if (isSysError(error, 'EAGAIN')) return false
      if (!isSysError(error, 'ENOBUFS')) throw error
      onLost()
    }
    return true
  }

  return {
    drain() {
      while (receive());
    },
    [Symbol.dispose]() {
      watch[Symbol.dispose]()
      opened.close()
    },
  }
}
