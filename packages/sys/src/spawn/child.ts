// The handle of a started program: waiting for its end, signalling it.
import { P_PIDFD, WEXITED } from '../generated/constants/process.ts'
import { CLD_DUMPED, CLD_EXITED } from '../generated/constants/signal.ts'
import type { OwnedFd } from '../fd.ts'
import { pidfd_send_signal, waitid } from '../process.ts'
import { bind } from '../raw.ts'
import { reactor } from '../reactor.ts'
import type { Child, ExitStatus } from '../spawn.ts'

/** Our ends of a child's pipes. */
export interface ChildPipes {
  stdin?: OwnedFd
  stdout?: OwnedFd
  stderr?: OwnedFd
}

/** The handle of the child `pid`, with our ends of its pipes. */
export function makeChild(pid: number, pidfd: OwnedFd, ends: ChildPipes): Child {
  let status: ExitStatus | undefined
  let hasLooked = false
  let disposal: AbortController | undefined
  return {
    pid,
    pidfd,
    ...ends,
    async wait({ signal } = {}) {
      if (status !== undefined) return status
      signal?.throwIfAborted()
      if (hasLooked || !endsSoon(pidfd)) {
        hasLooked = true
        disposal ??= new AbortController()
        const given = signal === undefined ? disposal.signal : AbortSignal.any([signal, disposal.signal])
        await reactor().readable(pidfd, { signal: given })
      }
      // Of several waits the first one reaps.
      status ??= reap(pid, pidfd)
      return status
    },
    kill: (signal) => pidfd_send_signal(pidfd, signal),
    [Symbol.dispose]() {
      disposal?.abort(new TypeError(`spawn: the child ${pid} was disposed before its end was known`))
      pidfd.close()
      for (const end of Object.values(ends)) end.close()
    },
  }
}

function reap(pid: number, pidfd: OwnedFd): ExitStatus {
  const result = waitid({ idtype: P_PIDFD, id: pidfd, options: WEXITED })
  if (result === null) throw new TypeError(`spawn: pid ${pid} ended without a status`)
  const exited = result.code === CLD_EXITED
  return {
    pid,
    code: exited ? result.status : null,
    signal: exited ? null : result.status,
    coreDumped: result.code === CLD_DUMPED,
  }
}

const ppoll = bind('ppoll', 'ptr', 'int', 'ptr', 'ptr', 'int')
/** struct pollfd (asm-generic/poll.h): int fd, short events, short revents. */
const pollFd = new Int32Array(new ArrayBuffer(8))
const POLLIN = 1

/**
 * How long the first wait looks before it leaves the thread. A tiny program has ended by then, and to have
 * JavaScript woken for it would cost half of what its spawn does.
 */
const soonNs = 100_000n
/** struct __kernel_timespec. The kernel writes back what is left of it. */
const timeout = new BigInt64Array(new ArrayBuffer(16))

/** Whether the child has ended, or does within a tenth of a millisecond. The thread sleeps meanwhile. */
function endsSoon(pidfd: OwnedFd): boolean {
  pollFd[0] = pidfd.fd
  pollFd[1] = POLLIN
  timeout[0] = 0n
  timeout[1] = soonNs
  return ppoll(pollFd, 1, timeout, null, 8) === 1
}
