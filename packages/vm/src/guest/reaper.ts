/** Every child that ends is waited for here, orphans too; whoever started one may ask how it ended. */
import { CLD_EXITED, P_ALL, SIGCHLD, WEXITED, WNOHANG } from '@pkg/sys/constants'
import { isSysError } from '@pkg/sys/errno'
import { waitid } from '@pkg/sys/process'
import { watchSignals } from '@pkg/sys/signal'
import { constants } from 'node:os'
import type { ProgramEnd } from '../agent/protocol.ts'

/** The first name of each: SIGIOT and SIGPOLL, which come later, are other names of SIGABRT and SIGIO. */
const namesByNumber = new Map(
  Object.entries(constants.signals)
    .toReversed()
    .map(([name, number]) => [number, name]),
)

/** Children that are reaped before the loop gets a turn. */
const REAPED_PER_TURN = 256

/** Reaps from construction on. */
export class Reaper {
  readonly #waiters = new Map<number, (end: ProgramEnd) => void>()

  constructor() {
    watchSignals([SIGCHLD], () => this.#reap())
    this.#reap()
  }

  /** How the child `pid` ends. To be called in the turn of the loop in which it was started. */
  ended(pid: number): Promise<ProgramEnd> {
    return new Promise((resolve) => this.#waiters.set(pid, resolve))
  }

  #reap(): void {
    for (let count = 0; count < REAPED_PER_TURN; count++) {
      const result = nextChild()
      if (result === null) return
      const end: ProgramEnd =
        result.code === CLD_EXITED
          ? { code: result.status, signal: null }
          : { code: null, signal: namesByNumber.get(result.status) ?? `SIG${result.status}` }
      this.#waiters.get(result.pid)?.(end)
      this.#waiters.delete(result.pid)
    }
    setImmediate(() => this.#reap())
  }
}

function nextChild(): ReturnType<typeof waitid> {
  try {
    return waitid({ idtype: P_ALL, options: WEXITED | WNOHANG })
  } catch (error) {
    if (isSysError(error, 'ECHILD')) return null
    throw error
  }
}
