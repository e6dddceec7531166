// The guest book on disk: format 2, a line of JSON for each entry.
import { appendFile, readFile } from 'node:fs/promises'
import { join } from 'node:path'

/** Where it lies on the machine. */
export const FOLDER = '/var/lib/guestbook'

/** The file of format 2. */
export const FILE = 'entries.jsonl'

/** Format 2 has the time, which format 1 had not. */
export interface Entry {
  /** Who wrote it. */
  readonly name: string
  /** What. */
  readonly text: string
  /** When, as ISO 8601; null for one of format 1. */
  readonly at: string | null
}

/** A book is full some day: the page shows all of it. */
const ENTRIES_MAX = 1000

/** All entries, the oldest first. */
export async function readBook(folder: string): Promise<Entry[]> {
  const text = await readIfThere(join(folder, FILE))
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Entry)
}

/** Adds one. @returns whether there was room */
export async function addEntry(folder: string, entry: Entry): Promise<boolean> {
  if ((await readBook(folder)).length >= ENTRIES_MAX) return false
  await appendFile(join(folder, FILE), lineOf(entry))
  return true
}

/** An entry as it is written. */
export function lineOf(entry: Entry): string {
  return `${JSON.stringify(entry)}\n`
}

/** A text; empty where nobody has written one yet. */
export async function readIfThere(path: string): Promise<string> {
  return await readFile(path, 'utf8').catch((error: unknown) => {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return ''
    throw error
  })
}
