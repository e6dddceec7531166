/** The pool's part on the host: guests for all its workers, ended with vitest. */
import type { PoolOptions, PoolWorker, Vitest } from 'vitest/node'
import { bootGuest } from './boot-guest.ts'
import { Guests, type StartGuest } from './guests.ts'
import type { GuestPoolOptions } from './options.ts'
import { GuestPoolWorker } from './pool-worker.ts'

/** Makes the workers of one vitest. */
export function makeWorkers(vitest: Vitest, options: GuestPoolOptions): (pool: PoolOptions) => PoolWorker {
  const start: StartGuest = async (machine, program) => {
    const { boot } = await import('../boot.ts')
    return bootGuest(boot, machine, program, options)
  }
  const guests = new Guests(start, vitest.config.maxWorkers)
  vitest.onClose(() => guests[Symbol.asyncDispose]())
  return (pool) => new GuestPoolWorker(pool, options, guests)
}
