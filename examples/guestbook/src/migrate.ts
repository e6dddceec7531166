// From format 1 to format 2. PID 1 runs it once, on data that it has kept a copy of.
import { rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { FILE, FOLDER, lineOf, readIfThere, type Entry } from './book.ts'

/** The file of format 1: name, tabulator, text, a line for each entry. */
const OLD_FILE = 'entries.txt'

/** Migrates. @throws Error with the line that is not of format 1: better no release 2 than a book with holes */
export async function migrate(folder: string): Promise<number> {
  const lines = (await readIfThere(join(folder, OLD_FILE))).split('\n').filter((line) => line !== '')
  const entries = lines.map((line, index) => entryOf(line, index + 1))
  const unfinished = join(folder, `${FILE}.new`)
  await writeFile(unfinished, entries.map(lineOf).join(''))
  await rename(unfinished, join(folder, FILE))
  await rm(join(folder, OLD_FILE), { force: true })
  return entries.length
}

function entryOf(line: string, number: number): Entry {
  const [name, text] = line.split('\t')
  if (name === undefined || text === undefined)
    throw new Error(`${OLD_FILE}:${number}: expected a name, a tabulator and a text`)
  return { name, text, at: null }
}

if (import.meta.main) {
  const { SOLO_DATA_FROM: from, SOLO_DATA_TO: to } = process.env
  if (from !== '1' || to !== '2') throw new Error(`expected to go from 1 to 2, not from ${from} to ${to}`)
  console.log(`${await migrate(FOLDER)} entries`)
}
