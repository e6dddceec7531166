/** What a module says of itself: the section `.modinfo` of its file, `key=value` texts with a NUL after each. */
import { ElfError, elfSection } from '../elf.ts'

/** How a module's file is compressed, by the end of its name. */
export type ModuleCompression = 'gz' | 'xz' | 'zst'

/** Undoes a module's compression. */
export type DecompressModule = (
  bytes: Uint8Array,
  compression: ModuleCompression,
) => Uint8Array | Promise<Uint8Array>

const moduleFile = /^(?:.*\/)?([^/]+)\.ko(?:\.(gz|xz|zst))?$/

/** The module's name and compression by its file's; undefined for other files. */
export function moduleOfFile(path: string): { name: string; compression?: ModuleCompression } | undefined {
  const match = moduleFile.exec(path)
  if (!match?.[1]) return undefined
  const compression = match[2] as ModuleCompression | undefined
  return { name: canonicalName(match[1]), ...(compression ? { compression } : {}) }
}

/** The kernel and modprobe take `-` and `_` in a name as one; this is the form that the kernel shows. */
export function canonicalName(name: string): string {
  return name.replaceAll('-', '_')
}

/** The values of each key, in order. */
export type Modinfo = ReadonlyMap<string, readonly string[]>

/**
 * Reads a module's `.modinfo`.
 *
 * @param path - for errors, and for its ending
 * @throws Error naming the file when it is no ELF module or is damaged; TypeError when it is compressed and there
 *   is no `decompress`
 */
export async function readModinfo(
  path: string,
  bytes: Uint8Array,
  decompress: DecompressModule | undefined,
): Promise<Modinfo> {
  const compression = moduleOfFile(path)?.compression
  if (compression && !decompress) {
    throw new TypeError(
      `${path}: is compressed: give moduleClosure() the option decompress to read what it needs`,
    )
  }
  const plain = compression && decompress ? await decompress(bytes, compression) : bytes
  try {
    return parseModinfo(elfSection(plain, '.modinfo') ?? new Uint8Array(0))
  } catch (error) {
    if (error instanceof ElfError)
      throw new Error(`${path}: ${error.problem} (byte ${error.offset})`, { cause: error })
    throw error
  }
}

/** Parses `key=value` texts, each with a NUL after it. */
export function parseModinfo(section: Uint8Array): Modinfo {
  const info = new Map<string, string[]>()
  for (const text of new TextDecoder().decode(section).split('\0')) {
    const equals = text.indexOf('=')
    if (equals < 1) continue
    const values = info.get(text.slice(0, equals)) ?? []
    values.push(text.slice(equals + 1))
    info.set(text.slice(0, equals), values)
  }
  return info
}
