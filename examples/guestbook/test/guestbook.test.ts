import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { addEntry, readBook } from '../src/book.ts'
import { migrate } from '../src/migrate.ts'
import { handle } from '../src/server.ts'

let folder = ''

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'guestbook-'))
})
afterEach(() => rmSync(folder, { recursive: true }))

const get = async (path: string): Promise<string> => {
  return await (await handle(new Request(`http://book${path}`), folder)).text()
}
const post = async (form: Record<string, string>): Promise<number> => {
  const body = new URLSearchParams(form)
  return (await handle(new Request('http://book/', { method: 'POST', body }), folder)).status
}

test('what release 1 has written is in the book of release 2', async () => {
  writeFileSync(join(folder, 'entries.txt'), 'Ada\tHello\nGrace\t<b>bold</b>\n')
  expect(await migrate(folder)).toBe(2)
  expect(existsSync(join(folder, 'entries.txt'))).toBe(false)
  expect(await post({ name: 'Alan', text: 'Later' })).toBe(303)
  expect(JSON.parse(await get('/entries.json'))).toEqual([
    { name: 'Ada', text: 'Hello', at: null },
    { name: 'Grace', text: '<b>bold</b>', at: null },
    { name: 'Alan', text: 'Later', at: expect.stringMatching(/^\d{4}-/) },
  ])
  const page = await get('/')
  expect(page).toContain('<b>Ada</b>: Hello')
  expect(page).toContain('&lt;b&gt;bold&lt;/b&gt;')
})

test('migrate() makes an empty book of one that nobody has written into', async () => {
  expect(await migrate(folder)).toBe(0)
  expect(await readBook(folder)).toEqual([])
})

test('migrate() refuses what is not of format 1, and leaves it as it was', async () => {
  writeFileSync(join(folder, 'entries.txt'), 'Ada\tHello\nno tabulator\n')
  await expect(migrate(folder)).rejects.toThrow('entries.txt:2: expected a name, a tabulator and a text')
  expect(readFileSync(join(folder, 'entries.txt'), 'utf8')).toBe('Ada\tHello\nno tabulator\n')
  expect(await readBook(folder)).toEqual([])
})

test('handle() takes no entry without a name, none that is too long, and none into a full book', async () => {
  expect(await post({ text: 'x' })).toBe(400)
  expect(await post({ name: 'x', text: 'x'.repeat(501) })).toBe(400)
  const line = `${JSON.stringify({ name: 'x', text: 'x', at: null })}\n`
  writeFileSync(join(folder, 'entries.jsonl'), line.repeat(1000))
  expect(await post({ name: 'x', text: 'x' })).toBe(507)
  expect(await addEntry(folder, { name: 'x', text: 'x', at: null })).toBe(false)
})
