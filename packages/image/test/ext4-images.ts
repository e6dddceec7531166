/** ext4 file systems as files of the host, and what e2fsprogs makes of them. */
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { expect } from 'vitest'
import { installExt4, prepareExt4 } from '../src/ext4.ts'
import type { Ext4Image, Ext4Target, PrepareExt4Options } from '../src/ext4.ts'
import type { FileTree } from '../src/tree.ts'
import { run, runOk, temporaryFolder } from './run.ts'

/** Of all file systems of the tests. */
export const uuid = '5f6ad4a0-2c5d-4b8e-9f3a-3f0a3c0b6e11'

export const MiB: number = 1024 ** 2
export const GiB: number = 1024 ** 3

const zeros = new Uint8Array(256 * 1024)

/** What e2fsck prints of a file system without fault. */
const clean = [
  'Pass 1: Checking inodes, blocks, and sizes',
  'Pass 2: Checking directory structure',
  'Pass 3: Checking directory connectivity',
  'Pass 4: Checking reference counts',
  'Pass 5: Checking group summary information',
  expect.stringMatching(/: \d+\/\d+ files \(\d+\.\d% non-contiguous\), \d+\/\d+ blocks$/),
]

/** Expects of e2fsck an exit status of 0 and not a word of any problem. */
export function expectClean(path: string): void {
  const { status, stdout } = run(['e2fsck', '-fn', path])
  const lines = stdout.trimEnd().split('\n')
  expect({ status, lines }).toEqual({ status: 0, lines: clean })
}

/** Writes an image into a file in place; what is nothing but zeros takes no room there. */
export async function install(image: Ext4Image, path: string, dirt?: number): Promise<void> {
  await using file = await open(path, 'w+')
  if (dirt !== undefined) await file.write(new Uint8Array(image.sizeBytes).fill(dirt))
  await file.truncate(image.sizeBytes)
  const target: Ext4Target = {
    write: async (bytes, offsetBytes) => {
      const isHole = dirt === undefined && Buffer.compare(bytes, zeros.subarray(0, bytes.byteLength)) === 0
      if (!isHole) await file.write(bytes, 0, bytes.byteLength, offsetBytes)
    },
    flush: () => file.sync(),
  }
  await installExt4(image, target)
}

/** What tests vary; the uuid is always the same. */
export type TestOptions = Omit<PrepareExt4Options, 'uuid'> & { readonly dirt?: number }

/** Writes a file system that e2fsck finds clean, and gives its path. */
export async function checkedImage(tree: FileTree, { dirt, ...options }: TestOptions): Promise<string> {
  const path = join(temporaryFolder(), 'image.ext4')
  const zeroed = dirt === undefined
  await install(prepareExt4(tree, { zeroed, ...options, uuid }), path, dirt)
  expectClean(path)
  return path
}

/** What debugfs says to a request. */
export function debugfs(path: string, request: string): string {
  return runOk(['debugfs', '-R', request, path]).trimEnd()
}

/** All directories, files and symlinks, as debugfs reads them; lost+found is left out. */
export async function extracted(tree: FileTree, options: TestOptions): Promise<string> {
  const path = await checkedImage(tree, options)
  const folder = temporaryFolder()
  const { stderr } = run(['debugfs', '-R', `rdump / ${folder}`, path])
  expect(stderr.replace(/^debugfs 1.*\n/, '')).toBe('')
  return folder
}
