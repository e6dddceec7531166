/** Temporary folders of guests, named so that those of a process that was killed are found and removed by the next. */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { isOwnerGone, ownerMark } from '../host/owner.ts'

const PREFIX = 'solo-guest-'

let swept = false

/** A new, empty folder for a guest of this process. Whoever has it removes it. */
export function workFolder(): string {
  if (!swept) sweep()
  swept = true
  return mkdtempSync(join(tmpdir(), `${PREFIX}${ownerMark()}-`))
}

/** Removes what killed processes have left. A guest may live for days: what is not seen from here stays. */
function sweep(): void {
  for (const name of readdirSync(tmpdir())) {
    if (!name.startsWith(PREFIX) || isOwnerGone(name.slice(PREFIX.length)) !== true) continue
    try {
      rmSync(join(tmpdir(), name), { recursive: true, force: true })
    } catch {
      // Another user's, or another process is at it.
    }
  }
}
