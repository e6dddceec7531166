/**
 * Everything that dynamic programs need in an image to start: their loader and libraries, found in a sysroot as the
 * loader itself would find them inside the image.
 *
 * The result has no symlinked folders: where the sysroot reaches a file through one (`/lib64` on merged systems),
 * the image gets a real folder with a symlink for the file. It can so be merged into any tree that has real folders.
 */
import { realpath, stat } from 'node:fs/promises'
import { dirname, posix, resolve as resolveHostPath } from 'node:path'
import { Closure } from './elf-closure/closure.ts'
import { Loader } from './elf-closure/loader.ts'
import { parseElfFile } from './elf-closure/read-elf.ts'
import type { LoadedObject } from './elf-closure/loader.ts'
import { Sysroot } from './elf-closure/sysroot.ts'

export { MissingLibraryError } from './elf-closure/missing.ts'

/** A program that does not come from the sysroot. */
export interface OutsideProgram {
  /** Where it will be in the image, absolute, without symlinks. */
  readonly path: string
  /** Its file on the host. Libraries that it wants from folders beside itself (`$ORIGIN`) are taken from there too. */
  readonly source: string
}

/** What {@link elfClosure} is to find. */
export interface ElfClosureOptions {
  /** Programs or libraries: paths in the sysroot, or files from elsewhere. */
  readonly programs: readonly (string | OutsideProgram)[]
  /** The folder that has the loader and libraries as the image will: `/`, or an unpacked distribution. */
  readonly sysroot: string
  /**
   * Libraries that programs open while they run (dlopen) and that no file names, such as `libnss_dns.so.2`: names,
   * or absolute paths. They are looked for as if each dynamic program needed them.
   */
  readonly libraries?: readonly string[]
}

/** A file of the image. */
export interface ClosureFile {
  readonly type: 'file'
  /** Absolute path in the image. */
  readonly path: string
  /** The file on the host that has its bytes. */
  readonly source: string
  /** Its size. */
  readonly sizeBytes: number
  /** 0o755 when anyone may execute the file on the host, else 0o644. */
  readonly mode: number
}

/** A symlink of the image. */
export interface ClosureSymlink {
  readonly type: 'symlink'
  /** Absolute path in the image. */
  readonly path: string
  /** The other file of the closure, relative. */
  readonly target: string
}

/** One entry of a closure. */
export type ClosureEntry = ClosureFile | ClosureSymlink

/**
 * Finds the files and symlinks that `programs` need, themselves included.
 *
 * Followed as in ld.so(8): the interpreter, DT_NEEDED breadth first, DT_RPATH up the chain of loaders, DT_RUNPATH,
 * `$ORIGIN`, `$LIB` and `$PLATFORM`, ld.so.conf, the folders built into the loader; libraries for other processors
 * are passed over. For musl, its own order. What was found through ld.so.conf only gets a symlink in a folder that
 * is built in, so that the image needs no ld.so.cache. `LD_LIBRARY_PATH`, `LD_PRELOAD` and glibc-hwcaps variants are
 * not looked at. Static programs need nothing.
 *
 * Blocks: no (awaited). The sysroot must not change meanwhile.
 *
 * @returns sorted by path
 * @throws {@link MissingLibraryError} naming program, library and the folders searched; Error naming the file when a
 *   program is missing, is no ELF file, or is damaged; TypeError for relative paths
 * @see https://man7.org/linux/man-pages/man8/ld.so.8.html
 *
 * @example
 * ```ts
 * import { elfClosure } from '@pkg/image/elf-closure'
 * import { hostFile } from '@pkg/image/file-source'
 * import { FileTree } from '@pkg/image/tree'
 *
 * const tree = new FileTree()
 * for (const entry of await elfClosure({ programs: ['/bin/ls'], sysroot: '/' })) {
 *   if (entry.type === 'symlink') tree.add(entry)
 *   else tree.add({ path: entry.path, type: 'file', mode: entry.mode, content: await hostFile(entry.source) })
 * }
 * console.log([...tree].map((node) => node.path).join('\n'))
 * ```
 */
export async function elfClosure(options: ElfClosureOptions): Promise<ClosureEntry[]> {
  const sysroot = new Sysroot(resolveHostPath(options.sysroot))
  const closure = new Closure()
  for (const given of options.programs) {
    const program =
      typeof given === 'string' ? await insideProgram(sysroot, closure, given) : await outsideProgram(given)
    await closure.addFile(program.path, program.source)
    const loader = await Loader.forProgram(sysroot, closure, program)
    await loader.loadAll(options.libraries ?? [])
  }
  return closure.entries()
}

type Program = LoadedObject & { readonly source: string }

async function insideProgram(sysroot: Sysroot, closure: Closure, path: string): Promise<Program> {
  checkPath(path)
  const found = await sysroot.resolve(path)
  if (found?.type !== 'file') throw new Error(`${path}: the program is not a file in ${sysroot.folder}`)
  closure.addSymlink(path, found.path)
  const elf = await parseElfFile(found.source)
  return { path: found.path, source: found.source, elf }
}

async function outsideProgram({ path, source }: OutsideProgram): Promise<Program> {
  checkPath(path)
  const stats = await stat(source).catch(() => undefined)
  if (!stats?.isFile()) throw new Error(`${source}: the program for ${path} is not a file`)
  const realSource = await realpath(source)
  const elf = await parseElfFile(realSource, source)
  return { path, source: realSource, elf, hostFolder: dirname(realSource) }
}

function checkPath(path: string): void {
  if (!path.startsWith('/') || posix.normalize(path) !== path) {
    throw new TypeError(`${JSON.stringify(path)}: a program's path must be absolute, without . or .. or //`)
  }
}
