/** Temporary folders of guests, named so that those of a process that was killed are found and removed by the next. */
import { mkdtempSync, readdirSync, readlinkSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { stateOf } from './process-tree.ts'

let swept = false

/** A new, empty folder for a guest of this process. Whoever has it removes it. */
export function workFolder(): string {
  const space = pidNamespace()
  if (!swept) sweep(space)
  swept = true
  return mkdtempSync(join(tmpdir(), `solo-guest-${space}-${process.pid}-`))
}

/** Removes what killed processes of this pid namespace have left: of others we cannot tell whether they live. */
function sweep(space: string): void {
  for (const name of readdirSync(tmpdir())) {
    const [, owner, pid] = /^solo-guest-(\d+)-(\d+)-/.exec(name) ?? []
    if (owner !== space || stateOf(Number(pid)) !== undefined) continue
    try {
      rmSync(join(tmpdir(), name), { recursive: true, force: true })
    } catch {
      // Another user's, or another process is at it.
    }
  }
}

/** The number in `pid:[4026531836]`. */
function pidNamespace(): string {
  return /\d+/.exec(readlinkSync('/proc/self/ns/pid'))?.[0] ?? '0'
}
