// Whose a temporary file is, in its name: processes may share a folder and not see each other, as containers do that share
// a cache.
import { readlinkSync, statSync } from 'node:fs'
import { stateOf } from '../process-machine/process-tree.ts'

/** After so long what another pid namespace's process began is taken for left behind: nobody can look whether it lives. */
const FOREIGN_MS = 24 * 60 * 60 * 1000

/** This process in a name: `NAMESPACE-PID`. */
export function ownerMark(): string {
  return `${pidNamespace()}-${process.pid}`
}

/** Whether a file whose owner's mark begins `rest` of its name was left behind by a process that is gone. */
export function isLeftBehind(path: string, rest: string): boolean {
  const [, space, pid] = /^(\d+)-(\d+)(?:-|$)/.exec(rest) ?? []
  if (space === pidNamespace()) return stateOf(Number(pid)) === undefined
  return Date.now() - (statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? Date.now()) > FOREIGN_MS
}

/** The number in `pid:[4026531836]`. */
function pidNamespace(): string {
  return /\d+/.exec(readlinkSync('/proc/self/ns/pid'))?.[0] ?? '0'
}
