// Debian packages in the image: their files as they are, and what their programs need of glibc.
import { link, mkdir, readFile, readdir, readlink, rename, symlink } from 'node:fs/promises'
import { dirname, join, posix } from 'node:path'
import { ElfError, parseElf } from '@pkg/image/elf'
import { MissingLibraryError } from '@pkg/image/elf-closure'
import { hostFile } from '@pkg/image/file-source'
import type { FileTree } from '@pkg/image/tree'
import type { Archive, DebEntry, Pin } from '@pkg/vm/archive'
import { kindOf, scratchBeside, sha256 } from '@pkg/vm/host'
import { addLibrariesIfThere } from '../build/libraries.ts'
import { inessentialPackages, resolvePackages } from './resolve.ts'
import { unpackPackage, type UnpackedPackage } from './unpack.ts'

/** What adding packages needs. */
export interface PackageContext {
  readonly archive: Archive
  readonly cache: string
  /** Folder with the pinned glibc. */
  readonly glibc: string
  /** The tree of the runtime. */
  readonly runtime: FileTree
}

/** What came into the image. */
export interface AddedPackages {
  readonly pins: readonly Pin[]
  /** Which package each file came from. */
  readonly origin: ReadonlyMap<string, Pin>
  /** Packages that these depend on, but that an appliance has no use for. */
  readonly leftOut: readonly string[]
  /** Programs and plugins that need a library which none of the packages brings, with what is missing. */
  readonly incomplete: readonly { readonly path: string; readonly missing: string }[]
}

/**
 * Adds packages and what they depend on. A file that the tree has already stays: the configuration's own files take
 * the place of a package's.
 *
 * @throws ProvisionError a package cannot be had
 */
export async function addPackages(
  tree: FileTree,
  names: readonly string[],
  context: PackageContext,
): Promise<AddedPackages> {
  if (names.length === 0) return { pins: [], origin: new Map(), leftOut: [], incomplete: [] }
  const pins = await resolvePackages(context.archive, names)
  const unpacked: UnpackedPackage[] = []
  for (const pin of pins) unpacked.push(await unpackPackage(context.archive, context.cache, pin))
  const sysroot = await mergedRoot(unpacked, context)
  const origin = new Map<string, Pin>()
  const incomplete: { path: string; missing: string }[] = []
  for (const { pin, folder, entries } of unpacked) {
    for (const entry of entries) if (await addEntry(tree, folder, entry)) origin.set(`/${entry.path}`, pin)
  }
  for (const { folder, entries } of unpacked) {
    for (const { path, type } of entries) {
      const source = join(folder, path)
      if (type !== 'file' || !(await isDynamic(source))) continue
      const where = { glibc: context.glibc, sysroot, runtime: context.runtime }
      await addLibrariesIfThere(tree, { path: `/${path}`, source }, where).catch((error: unknown) => {
        // Plugins for what is only recommended (tc's for ATM) are of no use, but do no harm.
        if (!(error instanceof MissingLibraryError)) throw error
        incomplete.push({ path: `/${path}`, missing: error.library })
      })
    }
  }
  return { pins, origin, leftOut: leftOut(unpacked), incomplete }
}

function leftOut(packages: readonly UnpackedPackage[]): string[] {
  const there = new Set(packages.map(({ pin }) => pin.name))
  const names = packages.flatMap(({ dependencies }) => dependencies)
  return [...new Set(names)].filter((name) => inessentialPackages.has(name) && !there.has(name)).toSorted()
}

async function addEntry(tree: FileTree, folder: string, entry: DebEntry): Promise<boolean> {
  const { type, mode, uid, gid } = entry
  const path = `/${entry.path}`
  if (tree.has(path)) return false
  switch (type) {
    case 'directory':
      tree.add({ path, type, mode, uid, gid })
      return true
    case 'symlink':
      tree.add({ path, type, target: entry.target, uid, gid })
      return true
    case 'file':
      tree.add({ path, type, mode, uid, gid, content: await hostFile(join(folder, entry.path)) })
      return true
    case 'hardlink':
      // An archive has the first name before the others.
      tree.add({ path, type, linkTo: posix.join('/', entry.target) })
      return true
    case 'other':
      return false
  }
}

/** Programs and libraries that the dynamic linker has work with. */
async function isDynamic(path: string): Promise<boolean> {
  try {
    const { interpreter, needed } = parseElf(await readFile(path))
    return interpreter !== undefined || needed.length > 0
  } catch (error) {
    if (error instanceof ElfError) return false
    throw error
  }
}

/** All packages and glibc in one folder, where the dynamic linker's search can be followed: links, not copies. */
async function mergedRoot(
  packages: readonly UnpackedPackage[],
  { cache, glibc }: PackageContext,
): Promise<string> {
  const sources = [glibc, ...packages.map(({ folder }) => folder)]
  const folder = join(cache, 'sysroots', sha256(sources.join('\n')).slice(0, 32))
  if ((await kindOf(folder)) === 'folder') return folder
  await mkdir(dirname(folder), { recursive: true })
  using scratch = scratchBeside(folder)
  for (const source of sources) await linkAll(source, scratch.folder)
  await rename(scratch.folder, folder).catch(async (error: unknown) => {
    if ((await kindOf(folder)) !== 'folder') throw error
  })
  return folder
}

async function linkAll(source: string, target: string): Promise<void> {
  for (const entry of await readdir(source, { withFileTypes: true })) {
    const [from, to] = [join(source, entry.name), join(target, entry.name)]
    if (entry.isDirectory()) {
      await mkdir(to, { recursive: true })
      await linkAll(from, to)
    } else if ((await kindOf(to)) === undefined) {
      await (entry.isSymbolicLink() ? symlink(await readlink(from), to) : link(from, to))
    }
  }
}
