/**
 * vitest in the guest: a pool for vitest whose workers live in guests, so that whole test files run there as root or
 * as PID 1 and are reported as if they had run here.
 */
import type { PoolOptions, PoolRunnerInitializer, PoolWorker, Vitest, WorkerRequest } from 'vitest/node'
import { checkOptions } from './boot/check.ts'
import type { Need } from './boot/options.ts'
import { objections } from './boot/support.ts'
import type { Backend } from './machine.ts'
import { machineOfFile, type GuestPoolOptions, type MachineDefinition } from './vitest/options.ts'

export type { GuestPoolOptions, MachineDefinition } from './vitest/options.ts'

/**
 * Says in a test file what machine the file wants: `export const machine = defineMachine({ … })`. What it does not say
 * is as the pool's options say.
 *
 * It is read off the source before the file runs, so it must be written out: literals, and constants of the file that
 * are literals; anything else fails the file with a `MachineDefinitionError` that points at it.
 *
 * @example
 * ```ts no-run
 * import { defineMachine } from '@pkg/vm/vitest'
 *
 * export const machine = defineMachine({ backend: 'uml', memoryMiB: 128, needs: ['clock'] })
 * ```
 */
export function defineMachine(machine: MachineDefinition): MachineDefinition {
  return machine
}

/**
 * Skips the test that runs, with the reason as its note, where the guest cannot do what the test needs: for the same
 * tests in guests of several backends. A whole file says `needs` in its machine instead.
 *
 * @throws Error this is no guest of {@link guestPool}; TypeError no such need
 *
 * @example
 * ```ts no-run
 * import { skipUnless } from '@pkg/vm/vitest'
 * import { test } from 'vitest'
 *
 * test('sets the clock', (context) => {
 *   skipUnless(context, 'clock') // in namespaces: skipped, [the clock is the host's; 'uml' and 'qemu' have their own]
 * })
 * ```
 */
export function skipUnless(context: { skip(note?: string): unknown }, ...needs: readonly Need[]): void {
  const backend = process.env['SOLO_VM_BACKEND'] as Backend | undefined
  if (backend === undefined) throw new Error('skipUnless: this test runs in no guest of guestPool()')
  checkOptions({ needs })
  const architecture = process.arch === 'arm64' ? 'aarch64' : 'x86_64'
  const reasons = objections({ needs }, backend, architecture).map(
    ({ feature, reason }) => `${feature}: ${reason}`,
  )
  if (reasons.length > 0) context.skip(`${backend}: ${reasons.join('; ')}`)
}

/**
 * A pool for vitest: set it as `pool` of a project, and its test files run in guests.
 *
 * Names, durations, diffs, stacks, console output, snapshots, mocks, coverage, `-t` and watch mode are as ever. The
 * guest has none of the host's files: modules come through Vite, packages of `node_modules` that are not transformed
 * are copied when they are imported; `shareProject` or `shares` show folders of the host. A test that blocks, a worker
 * that dies and a guest that panics fail the test that ran (or the file, between tests) with the guest's error.
 *
 * vitest itself runs under Node or Bun; in guests the tests run under Bun.
 *
 * @throws {@link TypeError}, {@link RangeError} an option that no guest can have
 *
 * @example
 * ```ts no-run
 * import { defineConfig } from 'vitest/config'
 * import { guestPool } from '@pkg/vm/vitest'
 *
 * export default defineConfig({
 *   test: { pool: guestPool({ backend: 'qemu', memoryMiB: 256, snapshot: true }), include: ['**\/*.vm.test.ts'] },
 * })
 * ```
 */
export function guestPool(options: GuestPoolOptions = {}): PoolRunnerInitializer {
  machineOfFile(options, undefined)
  const loading = new WeakMap<Vitest, Promise<(pool: PoolOptions) => PoolWorker>>()
  return {
    name: 'guest',
    createPoolWorker: (pool) => {
      const { vitest } = pool.project
      let makeWorker = loading.get(vitest)
      if (makeWorker === undefined) {
        makeWorker = loadPool(vitest, options)
        loading.set(vitest, makeWorker)
      }
      return new LazyPoolWorker(pool, makeWorker)
    },
  }
}

/** Test files import this module for {@link defineMachine}, in the guest: there, nothing of the pool is loaded. */
async function loadPool(
  vitest: Vitest,
  options: GuestPoolOptions,
): Promise<(pool: PoolOptions) => PoolWorker> {
  const { makeWorkers } = await import('./vitest/pool.ts')
  return makeWorkers(vitest, options)
}

/** A worker whose code is not loaded before it is started. */
class LazyPoolWorker implements PoolWorker {
  readonly name = 'guest'
  readonly cacheFs = true
  readonly #pool: PoolOptions
  readonly #make: Promise<(pool: PoolOptions) => PoolWorker>
  #worker: PoolWorker | undefined

  constructor(pool: PoolOptions, make: Promise<(pool: PoolOptions) => PoolWorker>) {
    this.#pool = pool
    this.#make = make
    this.#make.catch(() => {})
  }

  async start(): Promise<void> {
    this.#worker ??= (await this.#make)(this.#pool)
    await this.#worker.start()
  }

  async stop(): Promise<void> {
    await this.#worker?.stop()
  }

  on(event: string, callback: (...parameters: unknown[]) => void): void {
    this.#worker?.on(event, callback)
  }

  off(event: string, callback: (...parameters: unknown[]) => void): void {
    this.#worker?.off(event, callback)
  }

  send(message: WorkerRequest): void {
    this.#worker?.send(message)
  }

  deserialize(data: unknown): unknown {
    return data
  }
}
