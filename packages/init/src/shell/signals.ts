/**
 * What each signal to PID 1 asks for. Where systemd and busybox agree, so does Solo; where they differ, the
 * table says whom it follows:
 *
 * | signal | meaning | systemd | busybox |
 * |---|---|---|---|
 * | TERM | power off (a container runtime's stop) | re-exec | reboot |
 * | INT | reboot: Ctrl-Alt-Del; seven times in two seconds: at once | the same | the same |
 * | PWR | power off | the same | – |
 * | USR1 | halt | – | the same |
 * | USR2 | power off | – | the same |
 * | RTMIN+3, +4, +5, +6 | halt, power off, reboot, kexec | the same | – |
 * | RTMIN+13 … +16 | the same four at once, without stopping the services | the same | – |
 */
import {
  SIGINT,
  SIGPWR,
  SIGRTMIN,
  SIGTERM,
  SIGUSR1,
  SIGUSR2,
  LINUX_REBOOT_CMD_CAD_OFF,
} from '@pkg/sys/constants'
import { isSysError } from '@pkg/sys/errno'
import { getpid } from '@pkg/sys/process'
import { reboot } from '@pkg/sys/reboot'
import { watchSignals } from '@pkg/sys/signal'
import type { ShutdownKind } from '../core.ts'

/** What a signal asks for. */
export interface ShutdownRequest {
  /** How the machine is to end. */
  readonly kind: ShutdownKind
  /** Without stopping the services. */
  readonly immediate: boolean
}

const orderly = (kind: ShutdownKind): ShutdownRequest => ({ kind, immediate: false })
const immediate = (kind: ShutdownKind): ShutdownRequest => ({ kind, immediate: true })

/** The table above. */
export const shutdownSignals: ReadonlyMap<number, ShutdownRequest> = new Map([
  [SIGTERM, orderly('power-off')],
  [SIGINT, orderly('reboot')],
  [SIGPWR, orderly('power-off')],
  [SIGUSR1, orderly('halt')],
  [SIGUSR2, orderly('power-off')],
  [SIGRTMIN + 3, orderly('halt')],
  [SIGRTMIN + 4, orderly('power-off')],
  [SIGRTMIN + 5, orderly('reboot')],
  [SIGRTMIN + 6, orderly('kexec')],
  [SIGRTMIN + 13, immediate('halt')],
  [SIGRTMIN + 14, immediate('power-off')],
  [SIGRTMIN + 15, immediate('reboot')],
  [SIGRTMIN + 16, immediate('kexec')],
])

/** Calls back for each signal of the table, with its number. */
export function watchShutdownSignals(
  onRequest: (request: ShutdownRequest, signal: number) => void,
): Disposable {
  const self = getpid()
  return watchSignals([...shutdownSignals.keys()], ({ signo, pid }) => {
    // The engine stops its own threads by SIGPWR.
    if (signo === SIGPWR && pid === self) return
    const request = shutdownSignals.get(signo)
    if (request !== undefined) onRequest(request, signo)
  })
}

/** Lets Ctrl-Alt-Del send SIGINT instead of resetting the machine. Not allowed in a container, nor needed. */
export function catchCtrlAltDel(): void {
  try {
    reboot(LINUX_REBOOT_CMD_CAD_OFF)
  } catch (error) {
    if (!isSysError(error)) throw error
  }
}
