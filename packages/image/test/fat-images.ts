/** FAT images as files, what fsck.fat makes of them, and what mtools reads from them. */
import { closeSync, ftruncateSync, mkdirSync, openSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'vitest'
import { prepareFat } from '../src/fat.ts'
import type { FatImage, FatOptions } from '../src/fat.ts'
import { FileTree } from '../src/tree.ts'
import { sha256 } from './erofs-images.ts'
import { run, runOk, temporaryFolder } from './run.ts'

/** Names are UTF-8 for mtools. */
const env = { LC_ALL: 'C.UTF-8' }

/** Writes an image to a sparse file: most of one is zeros. */
export async function writeImage(chunks: AsyncIterable<Uint8Array>): Promise<string> {
  const path = join(temporaryFolder(), 'image.fat')
  const fd = openSync(path, 'w')
  let sizeBytes = 0
  for await (const chunk of chunks) {
    const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength)
    if (!bytes.equals(Buffer.alloc(bytes.byteLength))) writeSync(fd, bytes, 0, bytes.byteLength, sizeBytes)
    sizeBytes += chunk.byteLength
  }
  ftruncateSync(fd, sizeBytes)
  closeSync(fd)
  return path
}

/** What fsck.fat says besides its version and how many files there are. */
export function complaints(image: string): string {
  const { status, stdout, stderr } = run(['fsck.fat', '-n', image])
  const told = `${stdout}${stderr}`.split('\n').filter((line) => {
    return line !== '' && !line.startsWith('fsck.fat ') && !/: \d+ files, \d+\/\d+ clusters$/.test(line)
  })
  return status === 0 && told.length === 0 ? '' : `exit status ${status}: ${told.join('\n')}`
}

/** An image file that fsck.fat has nothing against. */
export async function checkedImage(
  tree: FileTree,
  options: FatOptions = {},
): Promise<{ readonly path: string; readonly image: FatImage }> {
  const image = prepareFat(tree, options)
  const path = await writeImage(image.open())
  expect(complaints(path)).toBe('')
  return { path, image }
}

/** Everything in an image, as mcopy copies it. */
export function extract(image: string): string {
  const folder = join(temporaryFolder(), 'extracted')
  mkdirSync(folder)
  // Where there is nothing to copy, mcopy fails.
  if (mdir(image).length > 0) runOk(['mcopy', '-s', '-n', '-m', '-i', image, '::/*', folder], { env })
  return folder
}

/** What is in an image by `mdir -/ -b`: directories end with a slash. */
export function mdir(image: string): string[] {
  const { status, stdout, stderr } = run(['mdir', '-/', '-b', '-i', image, '::/'], { env })
  if (status === 1 && stderr === 'mdir: File "::/" not found\n') return []
  expect(status, stderr).toBe(0)
  const paths = stdout.split('\n').filter((path) => path !== '')
  return paths.map((path) => path.slice('::'.length))
}

/** A tree as lines: path, and what is in it. */
export function lines(tree: FileTree): string[] {
  const found: string[] = []
  for (const node of tree) {
    if (node.type === 'directory' && node.path !== '/') found.push(`${node.path} directory`)
    if (node.type === 'file' && node.content instanceof Uint8Array) {
      found.push(`${node.path} ${sha256(node.content)}`)
    }
  }
  return found.toSorted()
}
