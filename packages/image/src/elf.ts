/**
 * ELF files of 64-bit little-endian x86-64 and aarch64: what a loader needs to know of a program or library, the
 * bytes of a named section, and minimal static executables written without a linker.
 */
import { ElfBytes, ElfError } from './elf/bytes.ts'
import { checkIdentity } from './elf/identity.ts'
import type { ElfMachine } from './elf/identity.ts'

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

/** e_type (elf(5)). */
const types = new Map<number, ElfType>([
  [1, 'relocatable'],
  [2, 'executable'],
  [3, 'shared'],
  [4, 'core'],
])

/** p_type, d_tag, and DF_1_NODEFLIB of d_tag DT_FLAGS_1 (linux/elf.h, elf.h of glibc). */
const PT_LOAD = 1
const PT_DYNAMIC = 2
const PT_INTERP = 3
const DT_NULL = 0
const DT_NEEDED = 1
const DT_STRTAB = 5
const DT_STRSZ = 10
const DT_SONAME = 14
const DT_RPATH = 15
const DT_RUNPATH = 29
const DT_FLAGS_1 = 0x6ffffffb
const DF_1_NODEFLIB = 0x800n

interface ProgramHeader {
  readonly type: number
  readonly segment: ElfSegment
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
  const file = new ElfBytes(bytes)
  const machine = checkIdentity(file)
  const typeNumber = file.u16(16, 'e_type')
  const type = types.get(typeNumber)
  if (!type) throw new ElfError(16, `e_type is ${typeNumber}, expected 1 to 4`)
  const headers = programHeaders(file)
  const interpreter = interpreterOf(file, headers)
  return {
    machine,
    type,
    entryAddress: file.u64(24, 'e_entry'),
    ...(interpreter === undefined ? {} : { interpreter }),
    ...dynamicOf(file, headers),
    segments: headers.filter((header) => header.type === PT_LOAD).map(({ segment }) => segment),
  }
}

function programHeaders(file: ElfBytes): ProgramHeader[] {
  const tableOffset = file.offset(32, 'e_phoff')
  const entryBytes = file.u16(54, 'e_phentsize')
  let count = file.u16(56, 'e_phnum')
  if (count === 0) return []
  // PN_XNUM: the count did not fit and is in sh_info of the first section header.
  if (count === 0xffff) count = file.u32(file.offset(40, 'e_shoff') + 44, 'sh_info of section 0')
  if (entryBytes !== 56) throw new ElfError(54, `program headers of ${entryBytes} bytes, expected 56`)
  file.check(tableOffset, count * 56, 'the program headers')
  return Array.from({ length: count }, (_, index) => programHeader(file, tableOffset + index * 56))
}

function programHeader(file: ElfBytes, at: number): ProgramHeader {
  const flags = file.u32(at + 4, 'p_flags')
  const type = file.u32(at, 'p_type')
  const isRead = type === PT_LOAD || type === PT_DYNAMIC || type === PT_INTERP
  const segment = {
    // Segments that nothing here reads may say what they like (debug files, for one, have offsets past their end).
    offset: isRead ? file.offset(at + 8, 'p_offset') : 0,
    sizeBytes: isRead ? file.offset(at + 32, 'p_filesz') : 0,
    address: file.u64(at + 16, 'p_vaddr'),
    memorySizeBytes: file.u64(at + 40, 'p_memsz'),
    readable: (flags & 4) !== 0,
    writable: (flags & 2) !== 0,
    executable: (flags & 1) !== 0,
  }
  if (isRead) file.check(segment.offset, segment.sizeBytes, `the segment of program header ${at}`)
  return { type, segment }
}

function interpreterOf(file: ElfBytes, headers: ProgramHeader[]): string | undefined {
  const segment = headers.find(({ type }) => type === PT_INTERP)?.segment
  return segment && file.string(segment.offset, segment.offset + segment.sizeBytes, 'the interpreter')
}

type Dynamic = Pick<ElfFile, 'needed' | 'rpath' | 'runpath' | 'soname' | 'noDefaultFolders'>

function dynamicOf(file: ElfBytes, headers: ProgramHeader[]): Dynamic {
  // Empty in files that hold only debug information.
  const table = headers.find(({ type, segment }) => type === PT_DYNAMIC && segment.sizeBytes > 0)?.segment
  const entries: { tag: number; value: bigint; at: number }[] = []
  for (let at = table?.offset ?? 0; table && at + 16 <= table.offset + table.sizeBytes; at += 16) {
    const tag = Number(file.u64(at, 'd_tag'))
    if (tag === DT_NULL) break
    entries.push({ tag, value: file.u64(at + 8, 'd_val'), at })
  }
  const valueOf = (tag: number): bigint | undefined => entries.find((entry) => entry.tag === tag)?.value
  const stringsOf = (tag: number): string[] =>
    entries
      .filter((entry) => entry.tag === tag)
      .map(({ value, at }) => dynamicString(file, headers, valueOf, value, at))
  const foldersOf = (tag: number): string[] =>
    stringsOf(tag)
      .flatMap((list) => list.split(':'))
      .filter(Boolean)
  const [soname] = stringsOf(DT_SONAME)
  return {
    needed: stringsOf(DT_NEEDED),
    rpath: foldersOf(DT_RPATH),
    runpath: foldersOf(DT_RUNPATH),
    ...(soname === undefined ? {} : { soname }),
    noDefaultFolders: ((valueOf(DT_FLAGS_1) ?? 0n) & DF_1_NODEFLIB) !== 0n,
  }
}

function dynamicString(
  file: ElfBytes,
  headers: ProgramHeader[],
  valueOf: (tag: number) => bigint | undefined,
  index: bigint,
  at: number,
): string {
  const address = valueOf(DT_STRTAB)
  const sizeBytes = valueOf(DT_STRSZ)
  if (address === undefined || sizeBytes === undefined) {
    throw new ElfError(at, 'the dynamic section names a string but has no string table (DT_STRTAB, DT_STRSZ)')
  }
  if (index >= sizeBytes)
    throw new ElfError(at + 8, `string ${index} lies outside the string table of ${sizeBytes} bytes`)
  const holder = headers.find(
    ({ type, segment }) =>
      type === PT_LOAD &&
      address >= segment.address &&
      address + sizeBytes <= segment.address + BigInt(segment.sizeBytes),
  )
  if (!holder)
    throw new ElfError(
      at,
      `the string table at address 0x${address.toString(16)} lies in no segment of the file`,
    )
  const start = holder.segment.offset + Number(address - holder.segment.address)
  return file.string(start + Number(index), start + Number(sizeBytes), 'a string of the dynamic section')
}
