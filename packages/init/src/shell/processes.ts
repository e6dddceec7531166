/** The end of everything that is not a service: what an administrator started, what escaped its cgroup. */
import { SIGCONT, SIGKILL, SIGTERM } from '@pkg/sys/constants'
import { isSysError } from '@pkg/sys/errno'
import { kill } from '@pkg/sys/process'

/**
 * Asks every process to end, kills those that do not within half the time, and resolves when PID 1 has no child
 * left (each process is a descendant of PID 1's) or the time is over.
 *
 * @param isChildless - reaps, and tells whether no child is left
 * @param nextExit - resolves when a child has ended
 */
export async function endAllProcesses(
  timeoutMs: number,
  isChildless: () => boolean,
  nextExit: () => Promise<void>,
): Promise<void> {
  for (const signal of [SIGTERM, SIGKILL]) {
    if (isChildless()) return
    signalAll(signal)
    // One that is stopped would not see the first signal.
    if (signal === SIGTERM) signalAll(SIGCONT)
    const { promise: timeOver, resolve } = Promise.withResolvers<'over'>()
    const timer = setTimeout(resolve, timeoutMs / 2, 'over')
    while (!isChildless()) {
      if ((await Promise.race([nextExit(), timeOver])) === 'over') break
    }
    clearTimeout(timer)
  }
}

/** kill(−1): every process but PID 1 and the kernel's threads. */
function signalAll(signal: number): void {
  try {
    kill(-1, signal)
  } catch (error) {
    // ESRCH: there is nobody.
    if (!isSysError(error)) throw error
  }
}
