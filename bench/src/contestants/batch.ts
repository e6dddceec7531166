// The contestant's side of the protocol, for those that run under Bun.
import { createInterface } from 'node:readline'
import { CLOCK_MONOTONIC } from '@pkg/sys/constants'
import { clock_gettime } from '@pkg/sys/time'

/** Answers each line with what `measure` returns: nanoseconds an operation. */
export async function answer(measure: () => number | Promise<number>): Promise<void> {
  for await (const _ of createInterface({ input: process.stdin }))
    process.stdout.write(`${await measure()}\n`)
}

/** Calls in a batch: some 40 ms of getppid. */
export const callsPerBatch = 200_000

/** Children in a batch of spawns: some 60 ms of them, so that those before do not leave the caches cold. */
export const spawnsPerBatch = 300

/** Wake-ups in a batch. */
export const wakesPerBatch = 200

/** The middle one. */
export function median(values: readonly number[]): number {
  return values.toSorted((left, right) => left - right)[values.length >> 1] ?? Number.NaN
}

/** How far the engine's clock, which is read without a system call, is behind CLOCK_MONOTONIC. */
let behindNs: number | undefined

/** CLOCK_MONOTONIC in nanoseconds, as fast as the C library reads it. */
export function monotonicNs(): number {
  behindNs ??= measureBehindNs()
  return Bun.nanoseconds() + behindNs
}

/** By the attempt of many that took least: the first ones are slow, for they are interpreted. */
function measureBehindNs(): number {
  const attempts = Array.from({ length: 10_000 }, () => {
    const beforeNs = Bun.nanoseconds()
    const clockNs = Number(clock_gettime(CLOCK_MONOTONIC))
    const afterNs = Bun.nanoseconds()
    return { tookNs: afterNs - beforeNs, behindNs: clockNs - (beforeNs + afterNs) / 2 }
  })
  return attempts.reduce((best, attempt) => (attempt.tookNs < best.tookNs ? attempt : best)).behindNs
}
