// Copies of files and folders, from senders that may want to write elsewhere.
import { existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { packTree, unpackTree } from '../../src/agent/tree.ts'
import { testFolder } from '../support/folder.ts'

function entry(path: string, type: string, rest: object = {}): Buffer {
  const json = Buffer.from(JSON.stringify({ path, type, mode: 0o755, ...rest }))
  return Buffer.concat([length(json.length), json])
}

function length(bytes: number): Buffer {
  const buffer = Buffer.alloc(4)
  buffer.writeUInt32LE(bytes)
  return buffer
}

function file(path: string): Buffer {
  return Buffer.concat([entry(path, 'file'), length(1), Buffer.from('x'), length(0)])
}

async function* streamOf(...parts: readonly Buffer[]): AsyncGenerator<Uint8Array> {
  yield* parts
}

test('packTree() gives the whole of a file that says it has no bytes', async () => {
  using folder = testFolder()
  await unpackTree(packTree('/proc/self/maps'), join(folder.path, 'maps'))
  expect(readFileSync(join(folder.path, 'maps'), 'utf8')).toMatch(/^[0-9a-f]+-[0-9a-f]+ /)
})

test('packTree() refuses what is neither file, folder nor link, and leaves it out of a folder', async () => {
  using folder = testFolder()
  await expect(unpackTree(packTree('/dev/null'), join(folder.path, 'null'))).rejects.toThrow(
    '/dev/null: is neither a file, a folder nor a symbolic link',
  )
})

test.each<[string, Buffer[]]>([
  ['above', [entry('', 'folder'), file('../out')]],
  ['above by a folder', [entry('', 'folder'), entry('a', 'folder'), file('a/../../out')]],
  ['at an absolute path', [entry('', 'folder'), file('/out')]],
  ['through its own link', [entry('', 'folder'), entry('a', 'symlink', { target: '..' }), file('a/out')]],
  [
    'through its own link, called a folder',
    [entry('', 'folder'), entry('a', 'symlink', { target: '..' }), entry('a', 'folder'), file('a/out')],
  ],
  ['below what is a file', [file(''), file('out')]],
])('unpackTree() refuses to write %s', async (_where, parts) => {
  using folder = testFolder()
  const target = join(folder.path, 'in/target')
  await expect(unpackTree(streamOf(...parts), target)).rejects.toThrow('entry that cannot be')
  for (const place of ['out', 'in/out', 'in/target/out'])
    expect(existsSync(join(folder.path, place))).toBe(false)
})

test('unpackTree() follows a link that was there only for whom it trusts', async () => {
  using folder = testFolder()
  const [source, target, elsewhere] = ['source', 'target', 'elsewhere'].map((name) =>
    join(folder.path, name),
  ) as [string, string, string]
  for (const path of [join(source, 'lib'), target, elsewhere]) mkdirSync(path, { recursive: true })
  writeFileSync(join(source, 'lib/file'), 'x')
  symlinkSync(elsewhere, join(target, 'lib'))
  await expect(unpackTree(packTree(source), target)).rejects.toThrow('is a symbolic link')
  expect(existsSync(join(elsewhere, 'file'))).toBe(false)
  await unpackTree(packTree(source), target, true)
  expect(existsSync(join(elsewhere, 'file'))).toBe(true)
})
