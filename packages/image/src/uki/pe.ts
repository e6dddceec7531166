/**
 * PE32+ headers as firmware reads them: DOS header, COFF header, optional header and section table, little-endian.
 * Offsets are checked against the size of the file: a power cut may have left a part of it.
 *
 * @see https://learn.microsoft.com/windows/win32/debug/pe-format
 */
import { UkiError } from './error.ts'

/** A processor's name here, by its number in COFF headers. */
const machines: ReadonlyMap<number, PeMachine> = new Map([
  [0x8664, 'x86-64'],
  [0xaa64, 'aarch64'],
])

/** Processors whose EFI programs are read and written. */
export type PeMachine = 'x86-64' | 'aarch64'

/** Bytes of a section's header. */
export const sectionHeaderBytes = 40

/** The most that headers may take: those of stubs and kernels take 4 KiB at most. */
export const headersBytesMax: number = 64 * 1024

/** Offsets in the COFF header, which follows the signature `PE\0\0`. */
const coff = { machine: 0, sections: 2, symbolTable: 8, symbols: 12, optionalHeaderBytes: 16 } as const
const coffHeaderBytes = 20

/** Offsets in the optional header of PE32+. */
const optional = {
  magic: 0,
  initializedDataBytes: 8,
  sectionAlignment: 32,
  fileAlignment: 36,
  imageBytes: 56,
  headersBytes: 60,
  checksum: 64,
  subsystem: 68,
  dllCharacteristics: 70,
  directories: 108,
  firstDirectory: 112,
} as const

/** Index of the certificate table among the data directories; its address is an offset in the file. */
const certificateDirectory = 4
const subsystemEfiApplication = 10
const sectionsMax = 96

/** IMAGE_DLLCHARACTERISTICS_NX_COMPAT: runs with its data not executable. */
export const nxCompatible = 0x100

/** A section by its header. */
export interface PeSection {
  readonly name: string
  /** Address in memory, and the bytes that it takes there. */
  readonly address: number
  readonly memoryBytes: number
  /** Offset and bytes in the file; what memory has more is zeros, what it has less is padding. */
  readonly offset: number
  readonly fileBytes: number
}

/** What headers say. */
export interface PeHeaders {
  /** Undefined for a processor that is not known here. */
  readonly machine: PeMachine | undefined
  readonly subsystem: number
  readonly sections: readonly PeSection[]
  readonly sectionAlignment: number
  readonly fileAlignment: number
  /** Bytes of the program in memory. */
  readonly imageBytes: number
  readonly headersBytes: number
  readonly initializedDataBytes: number
  /** 0 when there is none. */
  readonly checksum: number
  readonly dllCharacteristics: number
  /** Offset and bytes of signatures; bytes are 0 without. */
  readonly certificates: { readonly offset: number; readonly sizeBytes: number }
  /** Offsets in the file, for who writes headers. */
  readonly places: {
    readonly coff: number
    readonly optional: number
    readonly checksum: number
    readonly sectionTable: number
  }
}

/**
 * Parses the headers at the beginning of a file. What they say of sections is not checked: see {@link checkLayout}.
 *
 * @param bytes - the first {@link headersBytesMax} bytes, or all when the file has fewer
 * @param fileBytes - of the whole file
 * @throws UkiError when they are no headers of PE32+, or cut off
 */
export function parseHeaders(bytes: Uint8Array, fileBytes: number): PeHeaders {
  if (bytes.every((byte) => byte === 0)) throw new UkiError('empty', `${fileBytes} bytes without a header`)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const need = (end: number, what: string): void => {
    if (end > fileBytes) throw new UkiError('truncated', `${fileBytes} bytes end within its ${what}`)
    if (end > bytes.byteLength)
      throw new UkiError('damaged', `its ${what} is at byte ${end}, far from the others`)
  }
  need(64, 'DOS header')
  if (view.getUint16(0, true) !== 0x5a4d) throw new UkiError('not-a-uki', 'it does not begin with MZ')
  const signature = view.getUint32(0x3c, true)
  const coffHeader = signature + 4
  const optionalHeader = coffHeader + coffHeaderBytes
  need(optionalHeader + optional.firstDirectory, 'PE header')
  if (view.getUint32(signature, true) !== 0x0000_4550)
    throw new UkiError('damaged', 'its PE header has no signature')
  if (view.getUint16(optionalHeader + optional.magic, true) !== 0x20b) {
    throw new UkiError('damaged', 'its optional header is not of PE32+')
  }
  const sectionTable = optionalHeader + view.getUint16(coffHeader + coff.optionalHeaderBytes, true)
  const count = view.getUint16(coffHeader + coff.sections, true)
  const directories = view.getUint32(optionalHeader + optional.directories, true)
  if (optionalHeader + optional.firstDirectory + directories * 8 > sectionTable || count > sectionsMax) {
    throw new UkiError('damaged', `its header has ${directories} directories and ${count} sections`)
  }
  need(sectionTable + count * sectionHeaderBytes, 'section table')
  const certificates = optionalHeader + optional.firstDirectory + certificateDirectory * 8
  const hasCertificates = directories > certificateDirectory
  const field = (offset: number): number => view.getUint32(optionalHeader + offset, true)
  return {
    machine: machines.get(view.getUint16(coffHeader + coff.machine, true)),
    subsystem: view.getUint16(optionalHeader + optional.subsystem, true),
    sections: Array.from({ length: count }, (_, index) =>
      sectionAt(bytes, sectionTable + index * sectionHeaderBytes),
    ),
    sectionAlignment: field(optional.sectionAlignment),
    fileAlignment: field(optional.fileAlignment),
    imageBytes: field(optional.imageBytes),
    headersBytes: field(optional.headersBytes),
    initializedDataBytes: field(optional.initializedDataBytes),
    checksum: field(optional.checksum),
    dllCharacteristics: view.getUint16(optionalHeader + optional.dllCharacteristics, true),
    certificates: {
      offset: hasCertificates ? view.getUint32(certificates, true) : 0,
      sizeBytes: hasCertificates ? view.getUint32(certificates + 4, true) : 0,
    },
    places: {
      coff: coffHeader,
      optional: optionalHeader,
      checksum: optionalHeader + optional.checksum,
      sectionTable,
    },
  }
}

/** Whether it is an EFI program, not a driver or a program of Windows. */
export function isEfiApplication(headers: PeHeaders): boolean {
  return headers.subsystem === subsystemEfiApplication
}

/** Where the last section, or what signs them, ends in the file. */
export function endOf({ sections, certificates, headersBytes }: PeHeaders): number {
  const ends = sections.map(({ offset, fileBytes }) => offset + fileBytes)
  return Math.max(headersBytes, certificates.offset + certificates.sizeBytes, ...ends)
}

function sectionAt(bytes: Uint8Array, offset: number): PeSection {
  const view = new DataView(bytes.buffer, bytes.byteOffset + offset, sectionHeaderBytes)
  const name = new TextDecoder('latin1').decode(bytes.subarray(offset, offset + 8)).replace(/\0+$/, '')
  const fileBytes = view.getUint32(16, true)
  return {
    name,
    memoryBytes: view.getUint32(8, true),
    address: view.getUint32(12, true),
    fileBytes,
    offset: fileBytes === 0 ? 0 : view.getUint32(20, true),
  }
}

/**
 * Checks that headers, sections and signatures lie one after another, inside the file and inside the image in
 * memory.
 *
 * @throws UkiError when they do not
 */
export function checkLayout(headers: PeHeaders, fileBytes: number): void {
  const { sectionAlignment, fileAlignment, headersBytes, imageBytes, places, sections } = headers
  const tableEnd = places.sectionTable + sections.length * sectionHeaderBytes
  for (const alignment of [sectionAlignment, fileAlignment]) {
    if (!Number.isInteger(Math.log2(alignment))) {
      throw new UkiError('damaged', `its header has the alignment ${alignment}, which is no power of two`)
    }
  }
  if (headersBytes < tableEnd) {
    throw new UkiError('damaged', `its section table ends at ${tableEnd}, its headers at ${headersBytes}`)
  }
  const end = endOf(headers)
  if (end > fileBytes) {
    throw new UkiError('truncated', `it has ${fileBytes} bytes of the ${end} that its headers tell of`)
  }
  let [fileEnd, memoryEnd] = [headersBytes, 0]
  for (const { name, offset, fileBytes: length } of sections.toSorted((a, b) => a.offset - b.offset)) {
    if (length === 0) continue
    if (offset < fileEnd)
      throw new UkiError('damaged', `its section ${name} overlaps what is before it in the file`)
    fileEnd = offset + length
  }
  for (const { name, address, memoryBytes } of sections.toSorted((a, b) => a.address - b.address)) {
    if (address < memoryEnd) throw new UkiError('damaged', `its section ${name} overlaps another in memory`)
    memoryEnd = address + memoryBytes
  }
  if (memoryEnd > imageBytes) {
    throw new UkiError('damaged', `its sections end at ${memoryEnd} in memory, its image at ${imageBytes}`)
  }
}

/** What changes in headers when sections are added. */
export interface HeaderChanges {
  /** All sections, the old ones first and in their order. */
  readonly sections: readonly PeSection[]
  readonly headersBytes: number
  readonly imageBytes: number
  readonly initializedDataBytes: number
  readonly dllCharacteristics: number
}

/**
 * Writes the changes into `bytes`, which hold the headers; no checksum, no symbol table. Added sections are
 * initialized data that may be read.
 */
export function applyChanges(bytes: Uint8Array, headers: PeHeaders, changes: HeaderChanges): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const { places } = headers
  view.setUint16(places.coff + coff.sections, changes.sections.length, true)
  // The symbols lay behind the last section, where now something else lies.
  view.setUint32(places.coff + coff.symbolTable, 0, true)
  view.setUint32(places.coff + coff.symbols, 0, true)
  view.setUint32(places.optional + optional.initializedDataBytes, changes.initializedDataBytes, true)
  view.setUint32(places.optional + optional.imageBytes, changes.imageBytes, true)
  view.setUint32(places.optional + optional.headersBytes, changes.headersBytes, true)
  view.setUint32(places.checksum, 0, true)
  view.setUint16(places.optional + optional.dllCharacteristics, changes.dllCharacteristics, true)
  for (const [index, section] of changes.sections.entries()) {
    const at = places.sectionTable + index * sectionHeaderBytes
    const isNew = index >= headers.sections.length
    if (isNew) bytes.fill(0, at, at + sectionHeaderBytes)
    view.setUint32(at + 8, section.memoryBytes, true)
    view.setUint32(at + 16, section.fileBytes, true)
    if (!isNew) continue
    bytes.set(new TextEncoder().encode(section.name), at)
    view.setUint32(at + 12, section.address, true)
    view.setUint32(at + 20, section.offset, true)
    // IMAGE_SCN_CNT_INITIALIZED_DATA and IMAGE_SCN_MEM_READ.
    view.setUint32(at + 36, 0x4000_0040, true)
  }
}
