/**
 * Where the sections of a UKI lie. Each begins at a multiple of 4 KiB in the file and in memory, so that a part that
 * grows leaves the blocks of the others as they were, only elsewhere, and a device finds them in the UKI that it has.
 */
import { contentSizeBytes } from '../stream/content.ts'
import type { FileContent } from '../stream/content.ts'
import {
  applyChanges,
  checkLayout,
  headersBytesMax,
  nxCompatible,
  parseHeaders,
  sectionHeaderBytes,
} from './pe.ts'
import type { PeHeaders, PeSection } from './pe.ts'

const blockBytes = 4096

/** Offsets and sizes in headers are 32-bit numbers. */
const fileBytesMax = 0xffff_ffff

/** gnu-efi fills the headers of arm64's stub with `nop`, up to the section at byte 4096. */
const nop: readonly number[] = [0x1f, 0x20, 0x03, 0xd5]

/** What becomes a section. */
export interface Part {
  /** With its dot, at most 8 bytes. */
  readonly name: string
  readonly content: FileContent
}

/** A part with its place. */
export interface PlacedPart extends Part {
  readonly offset: number
  readonly sizeBytes: number
  /** Zeros between its end and that of its last block. */
  readonly paddingBytes: number
}

/** A UKI before its content is read. */
export interface UkiPlan {
  /** The stub with all headers, but a checksum of 0; whole blocks. */
  readonly head: Uint8Array
  /** Where the checksum lies in it. */
  readonly checksumOffset: number
  readonly parts: readonly PlacedPart[]
  readonly sizeBytes: number
}

/** What is taken from a stub. */
export interface StubOptions {
  /** Replaces the text of the stub's own `.sbat`. */
  readonly sbat: string | undefined
  /** Whether the kernel may run with data that is not executable: then the UKI says what the stub says, else no. */
  readonly kernelIsNxCompatible: boolean
}

/** A stub with its headers. */
export interface Stub {
  readonly bytes: Uint8Array
  readonly headers: PeHeaders
}

/**
 * Parses a stub.
 *
 * @throws UkiError when it is damaged; TypeError when it is signed
 */
export function parseStub(bytes: Uint8Array): Stub {
  const headers = parseHeaders(bytes.subarray(0, headersBytesMax), bytes.byteLength)
  checkLayout(headers, bytes.byteLength)
  if (headers.certificates.sizeBytes > 0) {
    throw new TypeError(
      'it is signed, and a signature covers the whole UKI: take the stub that is not signed',
    )
  }
  return { bytes, headers }
}

/**
 * Places `parts` behind the stub's sections, in their order.
 *
 * @throws RangeError when the headers have no room for them, the stub's `.sbat` none for its text, or the UKI would
 *   have 4 GiB or more; TypeError when the stub has a section of the same name
 */
export function planUki(stub: Stub, parts: readonly Part[], options: StubOptions): UkiPlan {
  const { headers } = stub
  checkRoom(stub, parts)
  const fileSections = headers.sections.filter(({ fileBytes }) => fileBytes > 0)
  const stubEnd = Math.max(
    headers.headersBytes,
    ...fileSections.map(({ offset, fileBytes }) => offset + fileBytes),
  )
  const head = new Uint8Array(alignUp(stubEnd, blockBytes))
  head.set(stub.bytes.subarray(0, stubEnd))
  const stubSections = headers.sections.map((section) => {
    // No gap in the file before the first part: what signs and checks PE files reads section after section.
    const isLast = section.fileBytes > 0 && section.offset + section.fileBytes === stubEnd
    const longer = isLast ? { ...section, fileBytes: head.byteLength - section.offset } : section
    return section.name === '.sbat' && options.sbat !== undefined
      ? replaceText(head, headers, longer, options.sbat)
      : longer
  })
  const { placed, sections, memoryEnd, fileEnd } = place(parts, headers, head.byteLength)
  if (memoryEnd > fileBytesMax || fileEnd > fileBytesMax) {
    throw new RangeError(`the UKI would have ${fileEnd} bytes, PE files have less than 4 GiB`)
  }
  const tableBytes = (stubSections.length + sections.length) * sectionHeaderBytes
  applyChanges(head, headers, {
    sections: [...stubSections, ...sections],
    headersBytes: Math.max(
      headers.headersBytes,
      alignUp(headers.places.sectionTable + tableBytes, headers.fileAlignment),
    ),
    imageBytes: alignUp(memoryEnd, headers.sectionAlignment),
    initializedDataBytes: headers.initializedDataBytes + (fileEnd - stubEnd),
    dllCharacteristics: options.kernelIsNxCompatible
      ? headers.dllCharacteristics
      : headers.dllCharacteristics & ~nxCompatible,
  })
  return { head, checksumOffset: headers.places.checksum, parts: placed, sizeBytes: fileEnd }
}

interface Placement {
  readonly placed: PlacedPart[]
  readonly sections: PeSection[]
  readonly memoryEnd: number
  readonly fileEnd: number
}

function place(parts: readonly Part[], headers: PeHeaders, startOffset: number): Placement {
  const memoryAlignment = Math.max(blockBytes, headers.sectionAlignment)
  let memoryEnd = Math.max(0, ...headers.sections.map(({ address, memoryBytes }) => address + memoryBytes))
  let fileEnd = startOffset
  const placed: PlacedPart[] = []
  const sections: PeSection[] = []
  for (const { name, content } of parts) {
    const sizeBytes = contentSizeBytes(content)
    const fileBytes = alignUp(sizeBytes, Math.max(blockBytes, headers.fileAlignment))
    const address = alignUp(memoryEnd, memoryAlignment)
    placed.push({ name, content, offset: fileEnd, sizeBytes, paddingBytes: fileBytes - sizeBytes })
    sections.push({ name, address, memoryBytes: sizeBytes, offset: fileEnd, fileBytes })
    memoryEnd = address + sizeBytes
    fileEnd += fileBytes
  }
  return { placed, sections, memoryEnd, fileEnd }
}

function checkRoom({ bytes, headers }: Stub, parts: readonly Part[]): void {
  for (const { name } of parts) {
    if (headers.sections.some((section) => section.name === name)) {
      throw new TypeError(`it has a section ${name} already: a stub has none`)
    }
  }
  const tableEnd = headers.places.sectionTable + headers.sections.length * sectionHeaderBytes
  // Up to the first section the file has nothing but headers, whatever the size that these give themselves.
  const starts = headers.sections.flatMap(({ offset, fileBytes, address }) =>
    fileBytes > 0 ? [offset, address] : [address],
  )
  const room = Math.floor((Math.min(headersBytesMax, ...starts) - tableEnd) / sectionHeaderBytes)
  const wanted = bytes.subarray(tableEnd, tableEnd + parts.length * sectionHeaderBytes)
  const isFree = wanted.every((byte, index) => byte === 0 || byte === nop[index % nop.length])
  if (parts.length > room || !isFree) {
    const free = isFree ? room : 0
    throw new RangeError(
      `its headers have room for ${free} more sections, ${parts.length} are needed (${parts.map(({ name }) => name).join(' ')}): take the stub of another version of systemd`,
    )
  }
}

/** Puts `text` where a section's content was; up to the next section, in the file and in memory. */
function replaceText(head: Uint8Array, headers: PeHeaders, section: PeSection, text: string): PeSection {
  const bytes = new TextEncoder().encode(text)
  const after = headers.sections.map(({ address }) => address).filter((address) => address > section.address)
  const room = Math.min(section.fileBytes, ...after.map((address) => address - section.address))
  if (bytes.byteLength > room) {
    throw new RangeError(
      `its ${section.name} has room for ${room} bytes, ${bytes.byteLength} are needed: take the stub of another version of systemd, or fewer lines`,
    )
  }
  head.fill(0, section.offset, section.offset + section.fileBytes)
  head.set(bytes, section.offset)
  return { ...section, memoryBytes: bytes.byteLength }
}

function alignUp(value: number, alignment: number): number {
  return Math.ceil(value / alignment) * alignment
}
