// A contestant is a process that measures one batch whenever it reads a line, and answers with nanoseconds an
// operation. It lives through all rounds, so that rounds can be interleaved without paying for its start.
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'

/** What runs a contestant. */
export interface ContestantOptions {
  /** As the table names it. */
  name: string
  command: readonly [program: string, ...rest: string[]]
}

/** A running contestant. */
export interface Contestant extends Disposable {
  readonly name: string
  /** Measures one batch: nanoseconds an operation. */
  measure(): Promise<number>
}

/** Rounds before the first that counts. */
const warmUpRounds = 10

/** One batch may not take longer: a contestant that hangs must not hang the bench. */
const batchMsMax = 60_000

/** Starts a contestant. Its standard error is ours. */
export function startContestant({ name, command }: ContestantOptions): Contestant {
  const [program, ...rest] = command
  const child = spawn(program, rest, { stdio: ['pipe', 'pipe', 'pipe'] })
  let complaint = ''
  child.stderr.on('data', (chunk: Buffer) => (complaint = `${complaint}${chunk.toString()}`.slice(-2000)))
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const ended = endOf(child)
  return {
    name,
    async measure() {
      child.stdin.write('\n')
      const limit = AbortSignal.timeout(batchMsMax)
      const overdue = new Promise<never>((_, reject) => {
        limit.addEventListener('abort', () =>
          reject(new Error(`${name}: no answer in ${batchMsMax / 1000} s`)),
        )
      })
      const line = await Promise.race([lines.next(), ended, overdue])
      const value = typeof line === 'object' && line.done !== true ? Number(line.value) : Number.NaN
      if (!(value > 0)) throw new Error(`${name}: ${complaint.trim() || 'ended without an answer'}`)
      return value
    },
    [Symbol.dispose]() {
      child.kill('SIGKILL')
    },
  }
}

function endOf(child: ChildProcessWithoutNullStreams): Promise<string> {
  return new Promise((resolve) => {
    child.once('error', (error) => resolve(error.message))
    child.once('close', () => resolve('closed'))
  })
}

/**
 * Measures all contestants in `rounds` rounds, each round every one once, beginning with another each time. The
 * rounds before them warm up and are not counted: JavaScript needs some hundred spawns to be compiled.
 *
 * @returns nanoseconds an operation, by contestant and round
 */
export async function measureInterleaved(
  contestants: readonly Contestant[],
  rounds: number,
  onRound: (round: number) => void,
): Promise<Map<string, number[]>> {
  const results = new Map<string, number[]>(contestants.map(({ name }) => [name, []]))
  for (let round = 0; round < warmUpRounds; round++) {
    for (const contestant of contestants) await contestant.measure()
  }
  for (let round = 0; round < rounds; round++) {
    onRound(round)
    for (let turn = 0; turn < contestants.length; turn++) {
      const contestant = contestants[(round + turn) % contestants.length]
      if (contestant !== undefined) results.get(contestant.name)?.push(await contestant.measure())
    }
  }
  return results
}
