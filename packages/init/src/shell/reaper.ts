/**
 * Reaping: PID 1 is the parent of every process whose own parent has ended, and must wait for each of them, or
 * they stay as zombies.
 */
import { CLD_EXITED, P_ALL, WEXITED, WNOHANG } from '@pkg/sys/constants'
import { isSysError } from '@pkg/sys/errno'
import { waitid } from '@pkg/sys/process'

/** A child that has ended. */
export interface Reaped {
  /** Its process id, free from now on. */
  readonly pid: number
  /** Exit status, or null when a signal ended it. */
  readonly code: number | null
  /** The signal that ended it, or null. */
  readonly signal: number | null
}

/** Children that are reaped before the loop gets a turn, so that a storm of orphans does not starve it. */
const REAPED_PER_TURN = 512

/**
 * Waits for the children that have ended.
 *
 * @returns `childless` when there is no child at all; `more` when others may have ended too, and the loop should
 *   get a turn before they are asked for
 */
export function reap(onReaped: (child: Reaped) => void): 'children' | 'childless' | 'more' {
  for (let count = 0; count < REAPED_PER_TURN; count++) {
    const child = nextChild()
    if (child === 'childless') return 'childless'
    if (child === null) return 'children'
    onReaped(child)
  }
  return 'more'
}

function nextChild(): Reaped | null | 'childless' {
  try {
    const result = waitid({ idtype: P_ALL, options: WEXITED | WNOHANG })
    if (result === null) return null
    const exited = result.code === CLD_EXITED
    return { pid: result.pid, code: exited ? result.status : null, signal: exited ? null : result.status }
  } catch (error) {
    if (isSysError(error, 'ECHILD')) return 'childless'
    throw error
  }
}
