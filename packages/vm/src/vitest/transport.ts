/** Where the workers of the pool run: the one thing that the pool needs of a guest is to start Bun in it. */
import type { Duplex, Readable } from 'node:stream'
import type { StartedProgram } from './runtime.ts'

/** How a worker is started. */
export interface WorkerStart {
  /** Arguments for Bun. */
  readonly args: readonly string[]
  /** The whole environment. */
  readonly env: Readonly<Record<string, string>>
}

/** A started worker. */
export interface WorkerProcess {
  /** Stream that is the worker's fd 3 (or what stands for it). */
  readonly stream: Duplex
  /** What it writes to its standard output past `console`; absent when that goes to the guest's console. */
  readonly stdout?: Readable
  /** The same of its standard error. */
  readonly stderr?: Readable
  /** Resolves when the worker has ended; rejects with the guest's error when the guest ended with it. */
  readonly exited: Promise<WorkerExit>
  /** Kills the worker at once; resolves when it is gone, as far as that can be known. */
  kill(): Promise<void>
}

/** How a worker ended. */
export interface WorkerExit {
  /** Exit status, or null. */
  readonly code: number | null
  /** Name (`SIGSEGV`) of the signal that ended it, or null. */
  readonly signal: string | null
}

/** A worker that was there before its host. Only its guest's end is known, until it has said who it is. */
export interface WarmWorker extends WorkerProcess {
  /** Environment variables that it does not have yet. */
  readonly env: Readonly<Record<string, string>>
  /** Tells its process id, so that its own end is known too, and it can be killed. */
  adopt(pid: number): void
}

/** A guest that runs workers. Disposing of it ends it. */
export interface WorkerTransport extends AsyncDisposable {
  /**
   * Starts Bun as the most privileged user, with a duplex stream as its fd 3.
   *
   * @throws the guest's error, when it cannot be had
   */
  spawnWorker(start: WorkerStart): Promise<WorkerProcess>
  /**
   * A worker that was started and has loaded this program before the guest was saved: it waits for tests. Gives
   * undefined when there is none, or when it is taken.
   */
  warmWorker(program: StartedProgram): Promise<WarmWorker | undefined>
}
