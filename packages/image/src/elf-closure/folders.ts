/**
 * Where a loader looks for libraries when nothing in the program says so: the folders built into it and those of
 * ld.so.conf, for glibc; the path file or three folders, for musl.
 */
import { posix } from 'node:path'
import type { ElfMachine } from '../elf.ts'
import type { Sysroot } from './sysroot.ts'

/** What a loader knows by itself. */
export interface LoaderFolders {
  /** Which C library's loader it is: they look in different orders. */
  readonly style: 'glibc' | 'musl'
  /** Built in: searched also when the image has no cache or configuration. */
  readonly builtIn: readonly string[]
  /** From ld.so.conf: searched by way of ld.so.cache, before those built in. */
  readonly configured: readonly string[]
  /** What `$LIB` stands for. */
  readonly lib: string
}

/** The name of each machine's folders in Debian's multiarch scheme. */
const multiarch: Record<ElfMachine, string> = { x86_64: 'x86_64-linux-gnu', aarch64: 'aarch64-linux-gnu' }

/**
 * Finds out what the loader `interpreter` would search.
 *
 * glibc has its folders as strings in the loader's own file, and distributions choose them (Debian: multiarch;
 * Fedora: lib64), so the file is asked. Without a loader, or where it has none of them, all are taken.
 *
 * @param interpreter - the loader's path and bytes, undefined for a library without a program
 */
export async function loaderFolders(
  sysroot: Sysroot,
  machine: ElfMachine,
  interpreter: { readonly path: string; readonly bytes: Uint8Array } | undefined,
): Promise<LoaderFolders> {
  if (interpreter && posix.basename(interpreter.path).startsWith('ld-musl-'))
    return muslFolders(sysroot, machine)
  const triple = multiarch[machine]
  const all = [`/lib/${triple}`, `/usr/lib/${triple}`, '/lib64', '/usr/lib64', '/lib', '/usr/lib']
  const bytes = Buffer.from(interpreter?.bytes ?? [])
  const named = all.filter((folder) => bytes.includes(`\0${folder}/\0`, 0, 'latin1'))
  const builtIn = named.length > 0 ? named : all
  const lib = [`lib/${triple}`, 'lib64'].find((name) => builtIn.includes(`/${name}`)) ?? 'lib'
  return { style: 'glibc', builtIn, configured: await readConfiguration(sysroot, '/etc/ld.so.conf'), lib }
}

/** @see https://git.musl-libc.org/cgit/musl/tree/ldso/dynlink.c (sys_path) */
async function muslFolders(sysroot: Sysroot, machine: ElfMachine): Promise<LoaderFolders> {
  const text = await sysroot.readText(`/etc/ld-musl-${machine}.path`)
  const builtIn = text?.split(/[\n:]/).filter(Boolean) ?? ['/lib', '/usr/local/lib', '/usr/lib']
  return { style: 'musl', builtIn, configured: [], lib: 'lib' }
}

/** @see https://man7.org/linux/man-pages/man8/ldconfig.8.html */
async function readConfiguration(
  sysroot: Sysroot,
  path: string,
  seen = new Set<string>(),
): Promise<string[]> {
  const text = seen.has(path) ? undefined : await sysroot.readText(path)
  seen.add(path)
  const folders: string[] = []
  for (const line of (text ?? '').split('\n')) {
    const words = line.replace(/#.*/, '').trim()
    const include = /^include\s+(.*)$/.exec(words)?.[1]
    if (include !== undefined) {
      for (const pattern of include.split(/\s+/)) {
        const files = await expandPattern(sysroot, posix.resolve(posix.dirname(path), pattern))
        for (const file of files) folders.push(...(await readConfiguration(sysroot, file, seen)))
      }
    } else if (!/^hwcap\s/.test(words)) {
      // A folder may be followed by =TYPE, which is long obsolete.
      const named = words.split(/[\s:,]+/).map((word) => word.replace(/=.*/, ''))
      folders.push(
        ...named.filter((word) => word.startsWith('/')).map((word) => word.replace(/(.)\/+$/, '$1')),
      )
    }
  }
  return [...new Set(folders)]
}

/** `include` takes a pattern; distributions use `*` in the last part only. */
async function expandPattern(sysroot: Sysroot, pattern: string): Promise<string[]> {
  const folder = posix.dirname(pattern)
  const name = posix.basename(pattern)
  if (!/[*?]/.test(name)) return [pattern]
  const expression = name
    .replaceAll(/[.+^${}()|[\]\\]/g, String.raw`\$&`)
    .replaceAll('*', '.*')
    .replaceAll('?', '.')
  const matching = (await sysroot.list(folder)).filter((entry) => new RegExp(`^${expression}$`).test(entry))
  return matching.filter((entry) => !entry.startsWith('.')).map((entry) => posix.join(folder, entry))
}
