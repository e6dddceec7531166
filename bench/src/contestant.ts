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

/** One batch may not take longer: a contestant that hangs must not hang the bench. */
const batchMsMax = 60_000

/** Starts a contestant. What it writes to its standard error is the reason when it fails. */
export function startContestant({ name, command }: ContestantOptions): Contestant {
  const [program, ...rest] = command
  const child = spawn(program, rest, { stdio: ['pipe', 'pipe', 'pipe'] })
  let complaint = ''
  child.stderr.on('data', (chunk: Buffer) => (complaint = `${complaint}${chunk.toString()}`.slice(-2000)))
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const ended = endOf(child)
  const neverStarted = new Promise<IteratorResult<string>>((resolve) => {
    // Its output then has no end either.
    child.once('error', () => resolve({ done: true, value: undefined }))
  })
  // A pipe that breaks is told by `ended`, with a better reason.
  child.stdin.on('error', () => {})
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
      const line = await Promise.race([lines.next(), overdue, neverStarted])
      const value = line.done === true ? Number.NaN : Number(line.value)
      if (value > 0) return value
      throw new Error(complaint.trim() || (line.done === true ? await ended : `answered ${line.value}`))
    },
    [Symbol.dispose]() {
      child.kill('SIGKILL')
    },
  }
}

/** Why it has ended, in words. */
function endOf(child: ChildProcessWithoutNullStreams): Promise<string> {
  return new Promise((resolve) => {
    child.once('error', (error: NodeJS.ErrnoException) =>
      resolve(error.code === 'ENOENT' ? `${child.spawnfile} is not installed` : error.message),
    )
    child.once('close', (code, signal) => resolve(`ended without an answer (${signal ?? `status ${code}`})`))
  })
}

/**
 * How long each contestant warms up. A batch is too little for JavaScript: its spawns reach their speed only after
 * thousands of them, when the compiler has seen all of their parts.
 */
const defaultWarmUpMs = 5000

/**
 * Measures all contestants in `rounds` rounds, each round every one once, beginning with another each time. Before
 * them each warms up, which is not counted.
 *
 * @returns nanoseconds an operation, by contestant and round
 */
export async function measureInterleaved(
  contestants: readonly Contestant[],
  rounds: number,
  onRound: (round: number) => void,
  warmUpMs: number = defaultWarmUpMs,
): Promise<Map<string, number[]>> {
  const results = new Map<string, number[]>(contestants.map(({ name }) => [name, []]))
  for (const contestant of contestants) {
    const end = performance.now() + warmUpMs
    do await contestant.measure()
    while (performance.now() < end)
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
