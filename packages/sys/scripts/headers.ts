/** Finds the UAPI headers of a compiler, without the C library's, and the names that each header defines. */

import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { kernelHeaders, libcHeaders, type HeaderSelection } from './selection/headers.ts'
import { kernelPreamble } from './selection/structs.ts'

export type Architecture = 'x64' | 'arm64'

/** A compiler with a set of headers: what every question to C is asked of. */
export interface Toolchain {
  readonly compiler: string
  readonly flags: readonly string[]
  /** C text in front of every question. */
  readonly prologue: string
  readonly headers: readonly HeaderSelection[]
  /** A scratch folder, removed by {@link removeToolchain}. */
  readonly folder: string
}

/** The compiler for `architecture` by Debian's naming: the native one is plain `gcc`. */
export const compilerFor = (architecture: Architecture): string =>
  process.arch === architecture ? 'gcc' : `${architecture === 'x64' ? 'x86_64' : 'aarch64'}-linux-gnu-gcc`

/** Runs a program and returns its standard output; throws with its messages when it fails. */
export function run(file: string, args: readonly string[], input = ''): string {
  const result = spawnSync(file, args, {
    input,
    encoding: 'utf8',
    maxBuffer: 1 << 28,
    env: { ...process.env, LC_ALL: 'C' },
  })
  if (result.error) {
    throw new Error(
      `${file} cannot be run (${result.error.message}): install gcc and gcc-aarch64-linux-gnu`,
      {
        cause: result.error,
      },
    )
  }
  if (result.status !== 0) throw new Error(`${file} ${args.join(' ')} failed:\n${result.stderr}`)
  return result.stdout
}

// Some UAPI headers ask for headers of the C library, for one type each. These stand in for them.
const standIns: Readonly<Record<string, string>> = {
  'sys/socket.h':
    '#pragma once\n#include <linux/socket.h>\ntypedef __kernel_sa_family_t sa_family_t;\nstruct sockaddr { sa_family_t sa_family; char sa_data[14]; };\n',
  'sys/time.h': '#include <linux/time.h>\n',
  'sys/ioctl.h': '#include <asm/ioctl.h>\n',
  'sys/types.h': '#include <linux/types.h>\n',
  'unistd.h': '',
  'string.h': '',
  'limits.h': '#define INT_MAX __INT_MAX__\n#define UINT_MAX (INT_MAX * 2U + 1)\n',
  'stdint.h': '#include <stdint-gcc.h>\n',
}

/** Includes those headers that exist, so that older and newer kernels' headers both work. */
const includes = (headers: readonly HeaderSelection[]): string =>
  headers.map(({ header }) => `#if __has_include(<${header}>)\n#include <${header}>\n#endif\n`).join('')

/** The folders that hold a compiler's UAPI headers, and the LINUX_VERSION_CODE of those headers. */
interface Uapi {
  readonly folders: Readonly<Record<'asm' | 'asm-generic' | 'linux', string>>
  readonly version: number
}

/**
 * The folder that Debian's `linux-libc-dev` was unpacked to, when the tables are to come from headers newer than this
 * machine's: since 6.12 one package has those of all architectures.
 */
const unpacked = process.env['SOLO_UAPI']

function findUapi(architecture: Architecture, compiler: string): Uapi {
  if (unpacked !== undefined) return unpackedUapi(unpacked, architecture, compiler)
  const probe = '#include <asm/unistd.h>\n#include <asm-generic/errno.h>\n#include <linux/version.h>\n'
  const paths = run(compiler, ['-E', '-M', '-x', 'c', '-'], probe).split(/[\s\\]+/)
  const folderOf = (suffix: string): string => {
    const found = paths.find((path) => path.endsWith(`/${suffix}`))
    if (!found)
      throw new Error(
        `${compiler} finds no <${suffix}>: install linux-libc-dev (cross: linux-libc-dev-arm64-cross)`,
      )
    return dirname(found)
  }
  const folders = {
    asm: folderOf('asm/unistd.h'),
    'asm-generic': folderOf('asm-generic/errno.h'),
    linux: folderOf('linux/version.h'),
  }
  return { folders, version: versionOfHeader(compiler, '<linux/version.h>') }
}

function unpackedUapi(folder: string, architecture: Architecture, compiler: string): Uapi {
  const include = join(folder, 'usr/include')
  const folders = {
    asm: join(folder, 'usr/lib/linux/uapi', architecture === 'x64' ? 'x86' : 'arm64', 'asm'),
    'asm-generic': join(include, 'asm-generic'),
    linux: join(include, 'linux'),
  }
  return { folders, version: versionOfHeader(compiler, `"${join(folders.linux, 'version.h')}"`) }
}

function versionOfHeader(compiler: string, header: string): number {
  const text = run(compiler, ['-E', '-P', '-x', 'c', '-'], `#include ${header}\nLINUX_VERSION_CODE\n`)
  return Number(text.trim())
}

/**
 * The kernel's own headers for `architecture`, staged in a folder that has nothing else.
 *
 * `linux/` and `asm-generic/` are the same files for every architecture, but the package of the foreign
 * compiler can be older (Debian 12: 6.1.4 beside 6.1.192), so both come from the newer set and only `asm/` from
 * the architecture's own.
 */
export function kernelToolchain(architecture: Architecture): Toolchain {
  const compiler = compilerFor(architecture)
  const own = findUapi(architecture, compiler)
  const otherArchitecture = architecture === 'x64' ? 'arm64' : 'x64'
  const other = findUapi(otherArchitecture, compilerFor(otherArchitecture))
  const shared = other.version > own.version ? other : own
  const folder = mkdtempSync(join(tmpdir(), `solo-uapi-${architecture}-`))
  const staged = join(folder, 'include')
  mkdirSync(join(staged, 'sys'), { recursive: true })
  symlinkSync(own.folders.asm, join(staged, 'asm'))
  symlinkSync(shared.folders['asm-generic'], join(staged, 'asm-generic'))
  symlinkSync(shared.folders.linux, join(staged, 'linux'))
  for (const [name, text] of Object.entries(standIns)) writeFileSync(join(staged, name), text)
  // The compiler's own <stddef.h>.
  const builtin = run(compiler, ['-print-file-name=include']).trim()
  const first = ['stddef.h', 'linux/types.h', 'linux/version.h', 'asm/unistd.h', 'sys/socket.h']
  const prologue = `${first.map((name) => `#include <${name}>\n`).join('')}${includes(kernelHeaders)}${kernelPreamble}`
  return {
    compiler,
    flags: ['-nostdinc', '-isystem', staged, '-isystem', builtin],
    prologue,
    headers: kernelHeaders,
    folder,
  }
}

/** The C library's headers of this machine, by the native compiler: see {@link libcHeaders}. */
export function libcToolchain(): Toolchain {
  return {
    compiler: 'gcc',
    flags: ['-D_GNU_SOURCE'],
    prologue: includes(libcHeaders),
    headers: libcHeaders,
    folder: mkdtempSync(join(tmpdir(), 'solo-libc-')),
  }
}

export function removeToolchain(toolchain: Toolchain): void {
  rmSync(toolchain.folder, { recursive: true, force: true })
}

/** How a constant is written in its header: decides whether it is printed in hexadecimal, octal or decimal. */
export type Notation = 'decimal' | 'hexadecimal' | 'octal'

export interface FoundName {
  readonly name: string
  /** The header that defines it, `asm-generic/` written as `asm/`. */
  readonly header: string
  readonly notation: Notation
}

function notationOf(body: string): Notation {
  if (/^\(?0[0-7]+\)?$/.test(body)) return 'octal'
  return /0x|<<|\||~|_BITU|\b_IO/i.test(body) ? 'hexadecimal' : 'decimal'
}

/** `/tmp/x/include/asm-generic/fcntl.h` → `asm/fcntl.h` */
const headerName = (path: string): string =>
  path
    .replace(/^.*\/include(?:-fixed)?\//, '')
    .replace(/^(x86_64|aarch64)-linux-gnu\//, '')
    .replace(/^asm-generic\//, 'asm/')

/** Every object-like macro and every enumerator of the toolchain's headers, in the order of definition. */
export function findNames(toolchain: Toolchain): FoundName[] {
  const text = run(toolchain.compiler, [...toolchain.flags, '-E', '-dD', '-x', 'c', '-'], toolchain.prologue)
  const found = new Map<string, FoundName>()
  let header = ''
  const code: { header: string; line: string }[] = []
  for (const line of text.split('\n')) {
    const marker = /^# \d+ "([^"]*)"/.exec(line)
    if (marker) {
      header = headerName(marker[1] ?? '')
      continue
    }
    const macro = /^#define (\w+)(?: (.*))?$/.exec(line)
    if (macro) {
      const [, name = '', body = ''] = macro
      // `enum { X }; #define X X`: the enumerator decides where the name belongs.
      if (body !== name) found.set(name, { name, header, notation: notationOf(body.trim()) })
    } else if (/^#undef (\w+)/.test(line)) {
      found.delete(line.slice('#undef '.length).trim())
    } else if (line !== '' && !line.startsWith('#')) {
      code.push({ header, line })
    }
  }
  for (const enumerator of findEnumerators(code)) {
    if (!found.has(enumerator.name)) found.set(enumerator.name, enumerator)
  }
  return [...found.values()]
}

/** A tiny scan of the preprocessed text: inside `enum … { … }`, a name at the start of an item is an enumerator. */
function findEnumerators(code: readonly { header: string; line: string }[]): FoundName[] {
  const found: FoundName[] = []
  let inside = false
  let item = ''
  let pendingEnum = ''
  const flush = (header: string): void => {
    const match = /^\s*([A-Za-z_]\w*)\s*(?:=\s*([\s\S]*))?$/.exec(item)
    if (match?.[1]) found.push({ name: match[1], header, notation: notationOf((match[2] ?? '').trim()) })
    item = ''
  }
  for (const { header, line } of code) {
    for (const token of line.match(/\w+|\s+|[^\w\s]/g) ?? []) {
      if (inside) {
        if (token === ',' && (item.match(/\(/g)?.length ?? 0) === (item.match(/\)/g)?.length ?? 0))
          flush(header)
        else if (token === '}') {
          flush(header)
          inside = false
        } else item += token
      } else if (token === 'enum') pendingEnum = 'enum'
      else if (token === '{' && pendingEnum) {
        inside = true
        item = ''
        pendingEnum = ''
      } else if (!/^[\s\w]+$/.test(token)) pendingEnum = ''
    }
  }
  return found
}

/** The public names that the selection takes, in the selection's order. */
export function selectNames(toolchain: Toolchain, names: readonly FoundName[]): FoundName[] {
  const selected = new Map<string, FoundName>()
  for (const { header, files = [], only } of toolchain.headers) {
    const wanted = new Set([header, ...files])
    for (const found of names) {
      if (!wanted.has(found.header) || !/^[A-Z]/.test(found.name) || (only && !only.test(found.name)))
        continue
      if (!selected.has(found.name)) selected.set(found.name, { ...found, header })
    }
  }
  return [...selected.values()]
}
