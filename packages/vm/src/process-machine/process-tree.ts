/** The processes below one of ours, by /proc: to find them, and to stop and continue them all. */
import { readdirSync, readFileSync } from 'node:fs'
import { signalNumber } from './signals.ts'

/** The children of a process, those of all its threads. Empty when it is gone. */
export function childrenOf(pid: number): number[] {
  try {
    const tasks = readdirSync(`/proc/${pid}/task`)
    const texts = tasks.map((task) => readFileSync(`/proc/${pid}/task/${task}/children`, 'utf8'))
    return texts.flatMap((text) => text.split(' ').filter((word) => word.trim() !== '')).map(Number)
  } catch {
    return []
  }
}

/** Every process below `pid`, parents before their children. */
export function descendantsOf(pid: number): number[] {
  const found = childrenOf(pid)
  // The array grows under the loop, which so reaches every generation.
  for (const child of found) found.push(...childrenOf(child))
  return found
}

/** The state letter of proc(5) (`R`, `S`, `T`, `Z`, …); undefined when the process is gone. */
export function stateOf(pid: number): string | undefined {
  try {
    // The name in parentheses may hold anything, so the last parenthesis counts.
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[0]
  } catch {
    return undefined
  }
}

/** A process is made while its maker is being stopped; after so many rounds there is a fork bomb. */
const ROUNDS_MAX = 100

/**
 * Stops every process below `pid`, and gives those that were not stopped before: the ones to be continued.
 */
export function stopTree(pid: number): number[] {
  const stopped = new Set<number>()
  for (let round = 0; round < ROUNDS_MAX; round++) {
    const running = descendantsOf(pid).filter(
      (child) => !stopped.has(child) && !'TZ'.includes(stateOf(child) ?? 'Z'),
    )
    if (running.length === 0) break
    for (const child of running) {
      signal(child, 'SIGSTOP')
      stopped.add(child)
    }
  }
  return [...stopped]
}

/** Continues what {@link stopTree} has stopped. */
export function continueAll(pids: readonly number[]): void {
  // Children first: a parent must not wait for a child that still stands.
  for (const pid of pids.toReversed()) signal(pid, 'SIGCONT')
}

/** Sends a signal; a process that is gone needs none. */
export function signal(pid: number, name: NodeJS.Signals): void {
  try {
    // By number: Bun does not know SIGPWR by its name.
    process.kill(pid, signalNumber(name) ?? name)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}
