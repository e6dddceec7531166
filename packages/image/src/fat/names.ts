/** Names on FAT: which there may be, when two are the same, and the short ones that stand for long ones (7). */
import { comparable } from './fold.ts'

/** A name as a directory has it. */
export interface FatName {
  /** As it was given. */
  readonly long: string
  /** 11 bytes: 8 of the name, 3 of its extension, filled up with spaces. */
  readonly short: Uint8Array
  /** Whether the short name does not say all, so that entries with the long one are needed. */
  readonly needsLong: boolean
}

/** Units of UTF-16 in an entry with a piece of a long name. */
export const unitsPerEntry = 13

/** What vfat, Windows and EDK2 refuse (fs/fat/namei_vfat.c, vfat_bad_char). `/` cannot be in a name of a tree. */
// oxlint-disable-next-line no-control-regex -- control characters are what is looked for
const forbidden = /[\u0000-\u001f"*:<>?\\|]/u

/** What may be in a short name, apart from letters (7.2). */
const shortCharacters = /^[A-Z0-9$%'\-_@~`!(){}^#&]*$/

/**
 * Gives every name of a directory its short one: itself in capitals where that says the same, else with `~1`, `~2` …
 * The order of `names` decides who gets which number.
 *
 * @param directory - path of the directory, for errors
 * @throws TypeError naming the path of a name that FAT cannot have, or of two that it takes for the same
 */
export function fatNames(directory: string, names: readonly string[]): FatName[] {
  const prefix = directory === '/' ? '/' : `${directory}/`
  const seen = new Map<string, string>()
  for (const name of names) {
    checkName(prefix + name, name)
    const key = comparable(name)
    const other = seen.get(key)
    if (other !== undefined) {
      throw new TypeError(
        `${prefix}${other} and ${prefix}${name}: FAT takes them for the same name, since it ignores case`,
      )
    }
    seen.set(key, name)
  }
  // Those that need no number first: no number may make another one's name.
  const plain = names.map((name) => plainShortName(name))
  const aliases = new Aliases(plain.filter((short) => short !== undefined))
  return names.map((long, index) => {
    const short = plain[index] ?? aliases.next(long)
    return { long, short: shortBytes(short), needsLong: joined(short) !== long }
  })
}

function checkName(path: string, name: string): void {
  const bad = forbidden.exec(name)
  if (bad) throw new TypeError(`${path}: FAT allows no ${JSON.stringify(bad[0])} in a name`)
  // Linux takes away dots at the end, Windows spaces as well: the name would not be found.
  if (/[. ]$/.test(name)) throw new TypeError(`${path}: FAT allows no dot and no space at the end of a name`)
}

/** `NAME` and `EXT` of a short name, without the spaces. */
type Parts = readonly [base: string, extension: string]

/** The short name that says the same but for case; undefined when there is none. */
function plainShortName(name: string): Parts | undefined {
  // Other scripts have no capitals that every code page has.
  const capitals = name.replaceAll(/[a-z]/g, (letter) => letter.toUpperCase())
  const match = /^([^.]{1,8})(?:\.([^.]{1,3}))?$/u.exec(capitals)
  if (!match) return undefined
  const [, base = '', extension = ''] = match
  return shortCharacters.test(base + extension) ? [base, extension] : undefined
}

function joined([base, extension]: Parts): string {
  return extension === '' ? base : `${base}.${extension}`
}

function shortBytes([base, extension]: Parts): Uint8Array {
  return new TextEncoder().encode(base.padEnd(8) + extension.padEnd(3))
}

/** Numbered short names that no other name of the directory has. */
class Aliases {
  readonly #taken: Set<string>
  /** The last number for each beginning: counting from 1 each time would take the square of the names' number. */
  readonly #last = new Map<string, number>()

  constructor(plain: readonly Parts[]) {
    this.#taken = new Set(plain.map(joined))
  }

  next(name: string): Parts {
    const [base, extension] = basisOf(name)
    const key = `${base.slice(0, 6)}.${extension}`
    for (let number = (this.#last.get(key) ?? 0) + 1; ; number++) {
      const tail = `~${number}`
      const parts: Parts = [base.slice(0, 8 - tail.length) + tail, extension]
      if (this.#taken.has(joined(parts))) continue
      this.#taken.add(joined(parts))
      this.#last.set(key, number)
      return parts
    }
  }
}

/** What a number is put behind (7.2.4): in capitals, without spaces and dots, `_` for what short names cannot have. */
function basisOf(name: string): Parts {
  const bare = name.replaceAll(' ', '').replace(/^\.+/, '')
  const dot = bare.lastIndexOf('.')
  const [base, extension] = dot === -1 ? [bare, ''] : [bare.slice(0, dot), bare.slice(dot + 1)]
  const clean = (text: string): string =>
    text
      .replaceAll('.', '')
      .replaceAll(/[a-z]/g, (letter) => letter.toUpperCase())
      .replaceAll(/[^A-Z0-9$%'\-_@~`!(){}^#&]/gu, '_')
  return [clean(base).slice(0, 8), clean(extension).slice(0, 3)]
}
