/**
 * Workers that are there before their host: started in a guest that is about to be saved, with their program loaded,
 * or inside of the agent, as PID 1. They listen on a Unix socket of the guest.
 */
import { hostCalls } from './host-calls.ts'
import { WorkerLink } from './link.ts'
import type { StartedProgram } from './runtime.ts'
import type { WorkerProcess } from './transport.ts'

/** Where they listen. */
export const WARM_SOCKET = '/run/solo-vitest.sock'

/** Environment variables that have the bootstrap listen. */
export const LISTEN: Readonly<Record<string, string>> = { SOLO_VITEST_LISTEN: WARM_SOCKET }

/** How long a listening worker may take to come up, in milliseconds: Bun starts in 0.3 s under emulation. */
const LISTEN_TIMEOUT_MS = 20_000

/** How often it is tried, in milliseconds. */
const RETRY_MS = 20

/**
 * Has a listening worker load its program. When this resolves, it waits for tests, and the guest can be saved; what
 * it has to look up for its first renewal has been looked up.
 */
export async function loadWarmWorker(program: StartedProgram, worker: WorkerProcess): Promise<void> {
  const link = new WorkerLink(worker, {
    hangTimeoutMs: Infinity,
    calls: hostCalls([]),
    onMessage: () => {},
    onProgress: () => {},
    onOutput: () => {},
    onLost: () => {},
  })
  await link.load(program.runtime, program.folder)
  await link.renew({})
  await link.leave()
}

/** Tries `connect` until somebody listens. */
export async function connectRetrying<T>(connect: () => Promise<T>): Promise<T> {
  const deadlineMs = performance.now() + LISTEN_TIMEOUT_MS
  for (;;) {
    try {
      return await connect()
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      const comesUp = code === 'ENOENT' || code === 'ECONNREFUSED'
      if (!comesUp || performance.now() > deadlineMs) throw error
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS))
    }
  }
}
