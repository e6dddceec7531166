/** Headers, segments and the dynamic section of an ELF file: what a loader reads. */
import type { ElfFile, ElfSegment, ElfType } from '../elf.ts'
import { type ElfBytes, ElfError } from './bytes.ts'
import { checkIdentity } from './identity.ts'

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

/** What {@link ElfFile} tells of a file. @throws ElfError */
export function parse(file: ElfBytes): ElfFile {
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
