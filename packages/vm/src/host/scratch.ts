// Temporary folders that never outlive the process, whatever ends it, so that nothing half-written stays.
import { mkdirSync, readdirSync, rmSync } from 'node:fs'
import { randomBytes } from 'node:crypto'
import { basename, dirname, join } from 'node:path'
import { isLeftBehind, ownerMark } from './owner.ts'

const alive = new Set<string>()
let hooked = false

/** A temporary folder that is removed when it is disposed of or when the process ends. */
export interface Scratch extends Disposable {
  /** Its path. */
  readonly folder: string
}

/**
 * Makes a temporary folder beside `target`, thus on the same file system, so that what is made in it can be
 * renamed to `target` in one step. Folders that a killed process left there are swept away.
 */
export function scratchBeside(target: string): Scratch {
  if (!hooked) process.on('exit', removeAll)
  hooked = true
  const parent = dirname(target)
  const prefix = `.${basename(target)}.part-`
  mkdirSync(parent, { recursive: true })
  sweep(parent, prefix)
  const folder = join(parent, `${prefix}${ownerMark()}-${randomBytes(4).toString('hex')}`)
  alive.add(folder)
  mkdirSync(folder)
  return {
    folder,
    [Symbol.dispose]: () => {
      rmSync(folder, { recursive: true, force: true })
      alive.delete(folder)
    },
  }
}

function removeAll(): void {
  for (const folder of alive) rmSync(folder, { recursive: true, force: true })
}

function sweep(parent: string, prefix: string): void {
  for (const name of readdirSync(parent)) {
    const path = join(parent, name)
    if (name.startsWith(prefix) && isLeftBehind(path, name.slice(prefix.length)))
      rmSync(path, { recursive: true, force: true })
  }
}
