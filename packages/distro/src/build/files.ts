// The files of the configuration in the image. A dynamic program brings its interpreter and libraries; glibc's
// own always come from the pinned package, so that there is one glibc in the image.
import { readdir, readFile, readlink, stat } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { ElfError, type ElfFile, parseElf } from '@pkg/image/elf'
import { hostFile } from '@pkg/image/file-source'
import type { FileTree } from '@pkg/image/tree'
import type { Architecture } from '@pkg/vm/machine'
import type { FileConfig } from '../config.ts'
import { ConfigError } from '../error.ts'
import { addLibraries } from './libraries.ts'

/** Where files come from and what is there already. */
export interface FileContext {
  /** The project's folder. */
  readonly folder: string
  /** The configuration's file, for messages. */
  readonly configFile: string
  readonly architecture: Architecture
  /** Folder with the pinned glibc. */
  readonly glibc: string
  /** Where other libraries are looked for. */
  readonly sysroot: string
  /** The tree of the runtime, whose libraries are not added again. */
  readonly runtime: FileTree
}

/**
 * Adds the configuration's files to a tree.
 *
 * @throws ConfigError for a program of another architecture, or whose libraries are not found
 */
export async function addFiles(
  tree: FileTree,
  files: readonly FileConfig[],
  context: FileContext,
): Promise<void> {
  for (const [index, file] of files.entries()) {
    const source = resolve(context.folder, file.from)
    if ((await stat(source)).isDirectory()) {
      await addFolder(tree, source, file, index, context)
    } else {
      await addFile(tree, source, file.to, file, index, context)
    }
  }
}

async function addFolder(
  tree: FileTree,
  source: string,
  file: FileConfig,
  index: number,
  context: FileContext,
): Promise<void> {
  if (!tree.has(file.to)) tree.add({ path: file.to, type: 'directory', ...owner(file) })
  for (const entry of (await readdir(source, { withFileTypes: true })).toSorted((a, b) =>
    a.name < b.name ? -1 : 1,
  )) {
    const path = join(file.to, entry.name)
    const from = join(source, entry.name)
    if (entry.isDirectory()) await addFolder(tree, from, { ...file, to: path }, index, context)
    else if (entry.isSymbolicLink())
      tree.add({ path, type: 'symlink', target: await readlink(from), ...owner(file) })
    else if (entry.isFile()) await addFile(tree, from, path, file, index, context)
  }
}

async function addFile(
  tree: FileTree,
  source: string,
  path: string,
  file: FileConfig,
  index: number,
  context: FileContext,
): Promise<void> {
  const executable = ((await stat(source)).mode & 0o111) !== 0
  const mode = file.mode ?? (executable ? 0o755 : 0o644)
  tree.add({ path, type: 'file', content: await hostFile(source), mode, ...owner(file) })
  const elf = await readElf(source)
  if (elf === undefined || (elf.type !== 'executable' && elf.type !== 'shared')) return
  const where = `files[${index}].from`
  if (elf.machine !== context.architecture) {
    const message = `expected a program for ${context.architecture}, got ${source}, which is for ${elf.machine}`
    throw new ConfigError(context.configFile, [{ path: where, message }])
  }
  if (elf.interpreter !== undefined || elf.needed.length > 0) {
    await addLibraries(tree, { path, source }, context, context.configFile, where)
  }
}

async function readElf(path: string): Promise<ElfFile | undefined> {
  try {
    return parseElf(await readFile(path))
  } catch (error) {
    if (error instanceof ElfError) return undefined
    throw error
  }
}

function owner({ uid }: FileConfig): { uid?: number; gid?: number } {
  return uid === undefined ? {} : { uid, gid: uid }
}
