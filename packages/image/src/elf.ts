/**
 * ELF files of 64-bit little-endian x86-64 and aarch64: what a loader needs to know of a program or library, the
 * bytes of a named section, and minimal static executables written without a linker.
 */
import { ElfBytes } from './elf/bytes.ts'
import type { ElfMachine } from './elf/identity.ts'
import { parse } from './elf/parse.ts'

export { ElfError } from './elf/bytes.ts'
export type { ElfMachine } from './elf/identity.ts'
export { elfSection } from './elf/sections.ts'
export { staticElfAddresses, writeStaticElf } from './elf/static.ts'
export type { StaticElfLayout, StaticElfOptions, StaticElfSegment } from './elf/static.ts'

/** What a file is: `.o` and `.ko`, program at a fixed address, program or library at any address, core dump. */
export type ElfType = 'relocatable' | 'executable' | 'shared' | 'core'

/** A program header of type PT_LOAD: a part of the file that becomes memory. */
export interface ElfSegment {
  /** Where in the file. */
  readonly offset: number
  /** Bytes in the file. */
  readonly sizeBytes: number
  /** Address in memory. */
  readonly address: bigint
  /** Bytes in memory; what is more than in the file is zero. */
  readonly memorySizeBytes: bigint
  /** PF_R. */
  readonly readable: boolean
  /** PF_W. */
  readonly writable: boolean
  /** PF_X. */
  readonly executable: boolean
}

/** What {@link parseElf} finds. */
export interface ElfFile {
  /** The processor. */
  readonly machine: ElfMachine
  /** What it is. */
  readonly type: ElfType
  /** Where it starts, 0 if nowhere. */
  readonly entryAddress: bigint
  /** The loader that a dynamic program asks for (PT_INTERP); static programs and libraries have none. */
  readonly interpreter?: string
  /** Libraries that must be loaded with it (DT_NEEDED), in order. */
  readonly needed: readonly string[]
  /** Folders of DT_RPATH, `$ORIGIN` and the like left as they are. */
  readonly rpath: readonly string[]
  /** Folders of DT_RUNPATH, likewise. */
  readonly runpath: readonly string[]
  /** A library's name for others (DT_SONAME). */
  readonly soname?: string
  /** Whether the loader must not look in its default folders (DF_1_NODEFLIB). */
  readonly noDefaultFolders: boolean
  /** The parts that become memory, in the file's order. */
  readonly segments: readonly ElfSegment[]
}

/**
 * Reads what a loader would read of an ELF file: headers, segments and the dynamic section. Section headers are
 * not looked at, so stripped and damaged ones do no harm.
 *
 * @param bytes - the whole file
 * @throws {@link ElfError} when it is no ELF file, is of another class, byte order or processor, or is cut off or
 *   damaged where it is read
 * @see https://man7.org/linux/man-pages/man5/elf.5.html
 *
 * @example
 * ```ts
 * import { readFile } from 'node:fs/promises'
 * import { parseElf } from '@pkg/image/elf'
 *
 * const elf = parseElf(await readFile('/bin/sh'))
 * console.log(elf.machine, elf.interpreter, elf.needed.join(' '))
 * ```
 */
export function parseElf(bytes: Uint8Array): ElfFile {
  return parse(new ElfBytes(bytes))
}
