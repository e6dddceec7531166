/**
 * One program's libraries, in the order in which its loader loads them.
 *
 * glibc (elf/dl-load.c, _dl_map_object): a name that is loaded already, also by its DT_SONAME, is not looked for
 * again. A name without a slash is looked for in: DT_RPATH of the object that needs it and of each object up the
 * chain that loaded it, unless the first has a DT_RUNPATH (an object with both has only the latter); its DT_RUNPATH;
 * ld.so.cache; the folders built in. Files for another class or processor are passed over.
 */
import { readFile, realpath, stat } from 'node:fs/promises'
import { join, posix } from 'node:path'
import { ElfError, parseElf } from '../elf.ts'
import type { ElfFile } from '../elf.ts'
import type { Closure } from './closure.ts'
import { loaderFolders } from './folders.ts'
import type { LoaderFolders } from './folders.ts'
import { MissingLibraryError } from './missing.ts'
import type { Sysroot } from './sysroot.ts'

/** A program or library that is being loaded. */
export interface LoadedObject {
  /** By which path the loader opens it in the image. */
  readonly path: string
  readonly elf: ElfFile
  /** Whose need brought it in; undefined for the program. */
  readonly loadedBy?: LoadedObject
  /** What `$ORIGIN` means on the host, for an object that is not in the sysroot. */
  readonly hostFolder?: string
}

/** A folder of the image that is searched. */
interface SearchFolder {
  readonly path: string
  /** A folder of the host that is looked into first. */
  readonly hostFolder?: string
  /** Whether the image's loader would come here without help. */
  readonly kind: 'named' | 'configured' | 'built in'
}

/** musl has all of these inside its loader, whatever follows (ldso/dynlink.c, load_library). */
const muslBuiltIn = /^lib(c|pthread|rt|m|dl|util|xnet)\./

/** Parses a file, naming it in the error. */
function parseFile(source: string, bytes: Uint8Array): ElfFile {
  try {
    return parseElf(bytes)
  } catch (error) {
    if (error instanceof ElfError)
      throw new Error(`${source}: ${error.problem} (byte ${error.offset})`, { cause: error })
    throw error
  }
}

/** Finds the libraries of one program. */
export class Loader {
  readonly #sysroot: Sysroot
  readonly #closure: Closure
  readonly #program: LoadedObject
  readonly #folders: LoaderFolders
  /** Names and sonames of what is loaded. */
  readonly #loaded = new Set<string>()

  private constructor(sysroot: Sysroot, closure: Closure, program: LoadedObject, folders: LoaderFolders) {
    this.#sysroot = sysroot
    this.#closure = closure
    this.#program = program
    this.#folders = folders
  }

  /** Takes the program's interpreter into the closure and learns its folders. */
  static async forProgram(sysroot: Sysroot, closure: Closure, program: LoadedObject): Promise<Loader> {
    const path = program.elf.interpreter
    if (path === undefined) {
      return new Loader(
        sysroot,
        closure,
        program,
        await loaderFolders(sysroot, program.elf.machine, undefined),
      )
    }
    const found = await sysroot.resolve(path)
    const details = { program: program.path, neededBy: program.path, library: `the loader ${path}` }
    if (found?.type !== 'file') {
      throw new MissingLibraryError({ ...details, sysroot: sysroot.folder, searched: [], passedOver: [] })
    }
    await closure.addFile(found.path, found.source)
    closure.addSymlink(path, found.path)
    const bytes = await readFile(found.source)
    const interpreter = parseFile(found.source, bytes)
    const folders = await loaderFolders(sysroot, program.elf.machine, { path, bytes })
    const loader = new Loader(sysroot, closure, program, folders)
    // libc.so.6 needs the loader, which is in memory long before it.
    loader.#loaded.add(posix.basename(path)).add(interpreter.soname ?? '')
    return loader
  }

  /** Loads what the program needs, breadth first, then `libraries`, and what all of those need. */
  async loadAll(libraries: readonly string[]): Promise<void> {
    const isDynamic = this.#program.elf.interpreter !== undefined || this.#program.elf.needed.length > 0
    if (!isDynamic) return
    const queue: LoadedObject[] = [this.#program]
    for (let object = queue.shift(); object; object = queue.shift()) {
      const names = object === this.#program ? [...object.elf.needed, ...libraries] : object.elf.needed
      for (const name of names) {
        if (this.#loaded.has(name) || (this.#folders.style === 'musl' && muslBuiltIn.test(name))) continue
        const library = await this.#load(name, object)
        this.#loaded.add(name).add(library.elf.soname ?? name)
        queue.push(library)
      }
    }
  }

  async #load(name: string, neededBy: LoadedObject): Promise<LoadedObject> {
    const file = this.#expand(name, neededBy)
    const passedOver: string[] = []
    const folders = file.includes('/') ? [this.#folderOfPath(file, neededBy)] : this.#searchFolders(neededBy)
    for (const folder of folders) {
      const found =
        (await this.#findOnHost(folder, file, neededBy, passedOver)) ??
        (await this.#findInSysroot(folder, file, neededBy, passedOver))
      if (found) return found
    }
    const searched = [...new Set(folders.map(({ path }) => path))]
    const details = {
      program: this.#program.path,
      neededBy: neededBy.path,
      library: name,
      searched,
      passedOver,
    }
    throw new MissingLibraryError({ ...details, sysroot: this.#sysroot.folder })
  }

  async #findInSysroot(
    folder: SearchFolder,
    file: string,
    loadedBy: LoadedObject,
    passedOver: string[],
  ): Promise<LoadedObject | undefined> {
    const name = posix.basename(file)
    const found = await this.#sysroot.resolve(`${folder.path}/${name}`)
    if (found?.type !== 'file') return undefined
    const elf = await this.#parseIfRight(found.source, passedOver)
    if (!elf) return undefined
    const path = await this.#pathInImage(folder, name)
    await this.#closure.addFile(found.path, found.source)
    this.#closure.addSymlink(path, found.path)
    return { path, elf, loadedBy }
  }

  /** For a program from outside of the sysroot: a library beside it is taken along to the same place beside it. */
  async #findOnHost(
    folder: SearchFolder,
    file: string,
    loadedBy: LoadedObject,
    passedOver: string[],
  ): Promise<LoadedObject | undefined> {
    if (folder.hostFolder === undefined) return undefined
    const name = posix.basename(file)
    const source = join(folder.hostFolder, name)
    if (!(await stat(source).catch(() => undefined))?.isFile()) return undefined
    const elf = await this.#parseIfRight(source, passedOver)
    if (!elf) return undefined
    const path = posix.join(folder.path, name)
    await this.#closure.addFile(path, await realpath(source))
    return { path, elf, loadedBy, hostFolder: folder.hostFolder }
  }

  async #parseIfRight(source: string, passedOver: string[]): Promise<ElfFile | undefined> {
    const bytes = await readFile(source)
    // Class, then machine, at their places in every ELF file: others are passed over, not errors.
    const is64Bit = bytes[4] === 2
    const elf = is64Bit ? parseFile(source, bytes) : undefined
    if (elf?.machine === this.#program.elf.machine) return elf
    passedOver.push(source)
    return undefined
  }

  /**
   * By which path the loader will open a library that was found in `folder`: that of the folder's real name where
   * the loader looks there as well (usr-merge), else the one that was searched, or for folders that only
   * ld.so.cache knows, one that is built in.
   */
  async #pathInImage(folder: SearchFolder, name: string): Promise<string> {
    const { builtIn } = this.#folders
    if (folder.kind === 'named') return posix.join(folder.path, name)
    const real = (await this.#sysroot.resolve(folder.path))?.path ?? folder.path
    if (builtIn.includes(real)) return posix.join(real, name)
    const usual = builtIn.find((path) => path.startsWith('/usr/lib')) ?? builtIn[0] ?? folder.path
    return posix.join(folder.kind === 'built in' ? folder.path : usual, name)
  }

  #searchFolders(object: LoadedObject): SearchFolder[] {
    const { style, builtIn, configured } = this.#folders
    const folders: SearchFolder[] = []
    for (let from: LoadedObject | undefined = object; from; from = from.loadedBy) {
      const { rpath, runpath } = from.elf
      const own = runpath.length > 0 ? runpath : rpath
      // musl has one path for both, and inherits both.
      const counts =
        style === 'musl' || from === object || (object.elf.runpath.length === 0 && runpath.length === 0)
      if (counts) for (const folder of own) folders.push(this.#namedFolder(folder, from))
    }
    if (object.elf.noDefaultFolders) return folders
    folders.push(...configured.map((path) => ({ path, kind: 'configured' as const })))
    folders.push(...builtIn.map((path) => ({ path, kind: 'built in' as const })))
    return folders
  }

  #namedFolder(text: string, object: LoadedObject): SearchFolder {
    const path = posix.normalize(this.#expand(text, object)).replace(/(.)\/$/, '$1')
    const fromOrigin = /^\$(?:ORIGIN|\{ORIGIN\})(.*)$/.exec(text)?.[1]
    if (fromOrigin === undefined || object.hostFolder === undefined) return { path, kind: 'named' }
    return { path, kind: 'named', hostFolder: join(object.hostFolder, this.#expand(fromOrigin, object)) }
  }

  #folderOfPath(file: string, object: LoadedObject): SearchFolder {
    if (!file.startsWith('/')) {
      throw new Error(
        `${object.path}: needs ${file}, a path relative to wherever it is started: give it an absolute one`,
      )
    }
    return { path: posix.dirname(file), kind: 'named' }
  }

  #expand(text: string, object: LoadedObject): string {
    const values: Record<string, string> = {
      ORIGIN: posix.dirname(object.path),
      LIB: this.#folders.lib,
      PLATFORM: object.elf.machine,
    }
    return text.replaceAll(
      /\$(?:\{(ORIGIN|LIB|PLATFORM)\}|(ORIGIN|LIB|PLATFORM)(?![A-Za-z0-9_]))/g,
      (whole, braced, bare) => {
        return values[String(braced ?? bare)] ?? String(whole)
      },
    )
  }
}
