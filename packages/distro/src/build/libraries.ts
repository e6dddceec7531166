// The shared libraries of a program. Those of glibc always come from the pinned package: there is one glibc in
// an image, and it does not depend on the machine that builds.
import { readdir } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { type ClosureEntry, elfClosure, MissingLibraryError } from '@pkg/image/elf-closure'
import { hostFile } from '@pkg/image/file-source'
import type { FileTree } from '@pkg/image/tree'
import { ConfigError } from '../error.ts'

/** Where libraries are looked for. */
export interface LibraryContext {
  /** Folder with the pinned glibc, laid out as in a root. */
  readonly glibc: string
  /** Where all others are looked for. */
  readonly sysroot: string
  /** What is in the image already. */
  readonly runtime: FileTree
}

/** A program, in the image and on the host. */
export interface Program {
  readonly path: string
  readonly source: string
}

/** Adds the libraries of a program that comes from glibc's folder alone. */
export async function addRuntimeLibraries(tree: FileTree, program: Program, glibc: string): Promise<void> {
  const entries = await elfClosure({ programs: [program], sysroot: glibc })
  for (const entry of entries) if (entry.path !== program.path) await addEntry(tree, entry)
}

/**
 * Adds the libraries of a program of the user's.
 *
 * @param key - where the program is named, such as `files[0].from`
 * @throws ConfigError when a library is nowhere
 */
export async function addLibraries(
  tree: FileTree,
  program: Program,
  context: LibraryContext,
  configFile: string,
  key: string,
): Promise<void> {
  await addLibrariesIfThere(tree, program, context).catch((error: unknown) => {
    if (!(error instanceof MissingLibraryError)) throw error
    const message = `${error.message}, or name the folder that has it with sysroot`
    throw new ConfigError(configFile, [{ path: key, message }])
  })
}

/**
 * The same, for a program that nobody has named.
 *
 * @throws MissingLibraryError when a library is nowhere; then none is added
 */
export async function addLibrariesIfThere(
  tree: FileTree,
  program: Program,
  context: LibraryContext,
): Promise<void> {
  // Where all comes from one root there is nothing to choose.
  const oneRoot = context.glibc === context.sysroot
  const pinned = oneRoot ? new Map<string, string>() : await librariesIn(context.glibc)
  const entries = await elfClosure({ programs: [program], sysroot: context.sysroot })
  const inRuntime = new Set([...context.runtime].map(({ path }) => basename(path)))
  for (const entry of entries) {
    if (entry.path === program.path || tree.has(entry.path) || context.runtime.has(entry.path)) continue
    const own = pinned.get(basename(entry.path))
    if (own === undefined) await addEntry(tree, entry)
    else if (entry.type === 'file' && !inRuntime.has(basename(own)) && !tree.has(own)) {
      tree.add({ path: own, type: 'file', mode: 0o755, content: await hostFile(join(context.glibc, own)) })
    }
  }
}

async function addEntry(tree: FileTree, entry: ClosureEntry): Promise<void> {
  if (entry.type === 'symlink') tree.add(entry)
  else tree.add({ path: entry.path, type: 'file', mode: entry.mode, content: await hostFile(entry.source) })
}

/** Paths of the libraries in a folder that plays a root, by their names. */
async function librariesIn(folder: string): Promise<ReadonlyMap<string, string>> {
  const files = (await readdir(folder, { recursive: true, withFileTypes: true })).filter((each) =>
    each.isFile(),
  )
  return new Map(
    files.map(
      ({ name, parentPath }) => [name, `/${join(parentPath, name).slice(folder.length + 1)}`] as const,
    ),
  )
}
