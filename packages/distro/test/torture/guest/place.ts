// Where a guest installs to, and how it tells the host what it has come to.
import { mkdirSync } from 'node:fs'

/** A slot, by the names of the guest. */
export interface Place {
  /** What marks call the installation. */
  readonly name: string
  /** The slot. */
  readonly slot: string
  /** Its root partition. */
  readonly target: string
  /** The other root partition. */
  readonly donor: string
  /** The boot partition. */
  readonly esp: string
}

/** Before each line that becomes a mark in the log of a disk. */
export const MARK = 'torture mark: '

/** Tells the host. */
export function mark(label: string): void {
  process.stdout.write(`${MARK}${label}\n`)
}

/** Makes a folder that may be there already. */
export function makeFolder(path: string): void {
  mkdirSync(path, { recursive: true })
}
