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

/** Whether the process whose mark begins `rest` of a name is gone; undefined for one that is not seen from here. */
export function isOwnerGone(rest: string): boolean | undefined {
  const [, space, pid] = /^(\d+)-(\d+)(?:-|$)/.exec(rest) ?? []
  return space === pidNamespace() ? stateOf(Number(pid)) === undefined : undefined
}

/** The same of what nobody works on for long, a cache's: what is old has been left behind, whoever's it was. */
export function isLeftBehind(path: string, rest: string): boolean {
  return isOwnerGone(rest) ?? ageMs(path) > FOREIGN_MS
}

function ageMs(path: string): number {
  return Date.now() - (statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? Date.now())
}

/** The number in `pid:[4026531836]`. */
function pidNamespace(): string {
  return /\d+/.exec(readlinkSync('/proc/self/ns/pid'))?.[0] ?? '0'
}
