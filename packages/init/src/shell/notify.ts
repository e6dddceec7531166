/**
 * The socket of sd_notify(3): services say that they are ready, that they live, and how they are. The kernel vouches
 * for the sender's process; what that one is not a service's is nobody's message.
 *
 * @see https://man7.org/linux/man-pages/man3/sd_notify.3.html
 */
import {
  AF_UNIX,
  AT_FDCWD,
  EPOLLIN,
  MSG_DONTWAIT,
  MSG_TRUNC,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  SOL_SOCKET,
  SO_PASSCRED,
} from '@pkg/sys/constants'
import { isSysError } from '@pkg/sys/errno'
import { fchmodat } from '@pkg/sys/fs'
import { reactor } from '@pkg/sys/reactor'
import { bind, recvmsg, setsockopt, socket } from '@pkg/sys/socket'
import type { Notification } from '../core.ts'
import { removeSocket } from './socket-file.ts'
import { readText } from './text-file.ts'

/** The longest message; sd_notify's own are a few dozen bytes. */
const MESSAGE_BYTES_MAX = 4096
/** Messages taken before the loop gets a turn, so that a storm of them does not starve it. */
const MESSAGES_PER_TURN = 64
/** How much of `STATUS=` is kept. */
const NOTE_MAX = 200

/** What is done with messages. */
export interface NotifyContext {
  /** The main processes of the services, by name. */
  readonly mainPids: () => ReadonlyMap<string, number>
  /** Whether each service has a cgroup of its own: then all processes in it speak for the service. */
  readonly hasCgroups: boolean
  /** A message of a service's. */
  readonly onMessage: (service: string, message: Notification) => void
}

/**
 * Listens. Every user may write to the socket: who it was is asked of the kernel.
 *
 * @throws SysError the socket cannot be made
 */
export function listenForNotifications(path: string, context: NotifyContext): Disposable {
  removeSocket(path)
  const listening = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0)
  try {
    setsockopt(listening, SOL_SOCKET, SO_PASSCRED, 1)
    bind(listening, { family: AF_UNIX, path })
    fchmodat(AT_FDCWD, path, 0o666)
  } catch (error) {
    listening.close()
    throw error
  }
  const memory = new Uint8Array(new ArrayBuffer(MESSAGE_BYTES_MAX))

  /** Whether there was one. */
  function takeOne(): boolean {
    let received
    try {
      received = recvmsg(listening, { buffers: [memory] }, MSG_DONTWAIT)
    } catch (error) {
      if (isSysError(error, 'EAGAIN')) return false
      throw error
    }
    let pid = 0
    for (const control of received.control) {
      if (control.type === 'credentials') pid = control.credentials.pid
    }
    try {
      const service = serviceOf(pid, context)
      if (service === undefined || (received.flags & MSG_TRUNC) !== 0) return true
      context.onMessage(service, parseNotification(decoder.decode(memory.subarray(0, received.size))))
    } finally {
      // `BARRIER=1` hands over the end of a pipe and waits until it is closed: until the message has been taken.
      for (const control of received.control) {
        if (control.type === 'rights') for (const fd of control.fds) fd.close()
      }
    }
    return true
  }

  const watch = reactor().watch(listening, EPOLLIN, () => {
    for (let count = 0; count < MESSAGES_PER_TURN; count++) if (!takeOne()) return
  })
  return {
    [Symbol.dispose]() {
      watch[Symbol.dispose]()
      listening.close()
      removeSocket(path)
    },
  }
}

const decoder = new TextDecoder()

/** What a message says; assignments that are not known here are left alone, as the protocol wants it. */
export function parseNotification(text: string): Notification {
  const lines = text.split('\n')
  const note = lines.findLast((line) => line.startsWith('STATUS='))
  return {
    ready: lines.includes('READY=1'),
    watchdog: lines.includes('WATCHDOG=1'),
    // What shows it may be a terminal, which control characters would command.
    note:
      note
        ?.slice('STATUS='.length)
        .replace(/\p{Cc}/gu, ' ')
        .slice(0, NOTE_MAX) ?? null,
  }
}

function serviceOf(pid: number, { mainPids, hasCgroups }: NotifyContext): string | undefined {
  const mains = [...mainPids()]
  const [own] = mains.find(([, main]) => main === pid) ?? []
  if (own !== undefined || !hasCgroups) return own
  const group = groupOf(pid)
  if (group === undefined) return undefined
  const found = mains.find(([, main]) => {
    const of = groupOf(main)
    return of !== undefined && (group === of || group.startsWith(`${of}/`))
  })
  return found?.[0]
}

/** The cgroup of a process; undefined when it has ended meanwhile. */
function groupOf(pid: number): string | undefined {
  try {
    return /^0::(\/.+)$/m.exec(readText(`/proc/${pid}/cgroup`))?.[1]
  } catch (error) {
    if (isSysError(error)) return undefined
    throw error
  }
}
