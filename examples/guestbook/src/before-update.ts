// Before a restart into another release: what was written last is to be on the disk, whatever that release does.
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { FILE, FOLDER, readBook } from './book.ts'

const entries = await readBook(FOLDER)
if (entries.length > 0) {
  const file = await open(join(FOLDER, FILE), 'r+')
  await file.sync()
  await file.close()
}
console.log(`${entries.length} entries are safe before ${process.env['SOLO_UPDATE_TO']}`)
