// The contestant's side of the protocol, for those that run under Bun.
import { createInterface } from 'node:readline'

/** Answers each line with what `measure` returns: nanoseconds an operation. */
export async function answer(measure: () => number | Promise<number>): Promise<void> {
  for await (const _ of createInterface({ input: process.stdin }))
    process.stdout.write(`${await measure()}\n`)
}

/** Calls in a batch of getppid: some 40 ms. */
export const callsPerBatch = 200_000

/** Children in a batch of spawns. */
export const spawnsPerBatch = 60
