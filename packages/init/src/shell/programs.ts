/**
 * Programs that PID 1 runs for itself (e2fsck) and waits for. Its reaper takes the status of every child, so it is
 * asked for theirs.
 */
import { SIGKILL } from '@pkg/sys/constants'
import { spawn } from '@pkg/sys/spawn'
import { captureOutput } from '../log/capture.ts'
import { credentials, type ProgramUser } from './credentials.ts'
import type { Reaped } from './reaper.ts'

/** How a program is run. */
export interface ProgramRun {
  /** Its absolute path. */
  readonly file: string
  /** Its arguments. */
  readonly args: readonly string[]
  /** It is killed after this time. */
  readonly timeoutMs: number
  /** Who it runs as. Default: PID 1's own user. */
  readonly user?: ProgramUser
  /** Aborting kills it. */
  readonly signal?: AbortSignal
  /** Takes each line of its output. */
  readonly onLine: (text: string) => void
}

/** Programs under way. */
export interface Programs {
  /**
   * Runs a program to its end.
   *
   * @throws SysError it cannot be started
   */
  run(program: ProgramRun): Promise<Reaped>
  /** Waits for a child that somebody else has started, in the same turn of the loop. */
  ended(pid: number): Promise<Reaped>
  /** To be told of every child that was reaped; whether it was one of these programs. */
  reaped(child: Reaped): boolean
}

/** Keeps the programs; `nowMs` is a monotonic clock. */
export function programs(nowMs: () => number): Programs {
  const waiting = new Map<number, (end: Reaped) => void>()
  return {
    run({ file, args, timeoutMs, user, signal, onLine }) {
      const child = spawn({
        file,
        args,
        env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', HOME: '/', LC_ALL: 'C' },
        cwd: '/',
        stdio: ['null', 'pipe', 'pipe'],
        newSession: true,
        umask: 0o022,
        ...(user === undefined ? {} : { ...credentials(user), noNewPrivileges: true }),
      })
      const pipes = [child.stdout, child.stderr].filter((pipe) => pipe !== undefined)
      const output = captureOutput(pipes, nowMs, onLine)
      const kill = (): void => child.kill(SIGKILL)
      const timer = setTimeout(kill, timeoutMs)
      signal?.addEventListener('abort', kill)
      return new Promise((resolve) => {
        waiting.set(child.pid, (end) => {
          clearTimeout(timer)
          signal?.removeEventListener('abort', kill)
          child.pidfd.close()
          output.finish()
          resolve(end)
        })
      })
    },
    ended: (pid) => new Promise((resolve) => waiting.set(pid, resolve)),
    reaped(child) {
      const ended = waiting.get(child.pid)
      waiting.delete(child.pid)
      ended?.(child)
      return ended !== undefined
    },
  }
}
