/** Reads a UKI back: its sections, and whether the file is whole. */
import type { RandomAccess } from '../random-access.ts'
import { PeChecksum } from './checksum.ts'
import { UkiError } from './error.ts'
import { checkLayout, endOf, headersBytesMax, isEfiApplication, parseHeaders } from './pe.ts'
import type { PeHeaders, PeMachine } from './pe.ts'
import { parseSbat } from './sbat.ts'
import type { SbatEntry } from './sbat.ts'

/** A section and where its content lies in the file. */
export interface UkiSection {
  /** With its dot: `.linux`, `.initrd`, `.cmdline`, `.osrel`, `.uname`, `.dtb`, and the stub's own. */
  readonly name: string
  /** Of its first byte in the file. */
  readonly offset: number
  /** Bytes of its content, without padding. */
  readonly sizeBytes: number
}

/** What the headers of a UKI say. */
export interface Uki {
  /** The processor that it is for. */
  readonly machine: PeMachine
  /** Where its last section, or its signature, ends. */
  readonly sizeBytes: number
  /** Whether there is a checksum of the whole file: `ukify` writes none. */
  readonly hasChecksum: boolean
  /** In the order of the headers. */
  readonly sections: readonly UkiSection[]
  /** The components that shim knows it by; empty where it has no `.sbat`. */
  readonly sbat: readonly SbatEntry[]
}

/** What is read of a text section at most; command lines are cut at 2 KiB or less by kernels. */
const textBytesMax = 1024 * 1024

/** Sections without which nothing boots, or the loader shows no entry. */
const required = ['.linux', '.osrel']

/** Reads what stands before the content. @throws UkiError */
export async function readHeaders(
  access: RandomAccess,
): Promise<{ readonly uki: Uki; readonly headers: PeHeaders }> {
  if (access.sizeBytes === 0) throw new UkiError('empty', 'it has no bytes')
  const headers = parseHeaders(await access.read(0, headersBytesMax), access.sizeBytes)
  checkLayout(headers, access.sizeBytes)
  const { machine } = headers
  if (!machine || !isEfiApplication(headers)) {
    throw new UkiError('not-a-uki', 'it is no EFI program for x86-64 or aarch64')
  }
  const sections = headers.sections.map(({ name, offset, fileBytes, memoryBytes }) => ({
    name,
    offset,
    sizeBytes: Math.min(fileBytes, memoryBytes),
  }))
  for (const name of required) {
    const section = sections.find((one) => one.name === name)
    if (!section || section.sizeBytes === 0) throw new UkiError('not-a-uki', `it has no section ${name}`)
  }
  await checkKernel(access, sections, machine)
  const uki = {
    machine,
    sizeBytes: endOf(headers),
    hasChecksum: headers.checksum !== 0,
    sections,
    sbat: await readSbat(access, sections),
  }
  return { uki, headers }
}

/** Sums up the whole file where it has a checksum. @throws UkiError */
export async function checkSum(
  access: RandomAccess,
  headers: PeHeaders,
  signal: AbortSignal | undefined,
  onProgress: ((doneBytes: number) => void) | undefined,
): Promise<void> {
  const checksum = new PeChecksum()
  const chunkBytes = 1024 * 1024
  for (let offset = 0; offset < access.sizeBytes; offset += chunkBytes) {
    signal?.throwIfAborted()
    let bytes = await access.read(offset, chunkBytes)
    if (bytes.byteLength < Math.min(chunkBytes, access.sizeBytes - offset)) {
      throw new UkiError('truncated', `it could be read up to byte ${offset + bytes.byteLength} only`)
    }
    if (offset === 0) {
      // Not slice(): that of a Buffer is a view, and its owner would lose the checksum.
      bytes = new Uint8Array(bytes)
      bytes.fill(0, headers.places.checksum, headers.places.checksum + 4)
    }
    checksum.update(bytes)
    onProgress?.(offset + bytes.byteLength)
  }
  if (headers.checksum !== 0 && checksum.value() !== headers.checksum) {
    throw new UkiError(
      'damaged',
      `its checksum is ${checksum.value().toString(16)}, its header says ${headers.checksum.toString(16)}`,
    )
  }
}

/** The content of a section that is text, without the NULs at its end; undefined when there is none. */
export async function readText(
  access: RandomAccess,
  sections: readonly UkiSection[],
  name: string,
): Promise<string | undefined> {
  const section = sections.find((one) => one.name === name)
  if (!section) return undefined
  if (section.sizeBytes > textBytesMax) {
    throw new UkiError('damaged', `its section ${name} has ${section.sizeBytes} bytes, too many for text`)
  }
  const bytes = await access.read(section.offset, section.sizeBytes)
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes).replace(/\0+$/, '')
  } catch {
    throw new UkiError('damaged', `its section ${name} is not UTF-8`)
  }
}

async function readSbat(access: RandomAccess, sections: readonly UkiSection[]): Promise<SbatEntry[]> {
  const text = await readText(access, sections, '.sbat')
  try {
    return parseSbat(text ?? '')
  } catch (error) {
    throw new UkiError(
      'damaged',
      `its section .sbat: ${error instanceof Error ? error.message : String(error)}`,
    )
  }
}

/** The kernel inside must begin as an EFI program for the same processor: the stub hands it to the firmware as one. */
async function checkKernel(
  access: RandomAccess,
  sections: readonly UkiSection[],
  machine: PeMachine,
): Promise<void> {
  const section = sections.find(({ name }) => name === '.linux')
  if (!section) return
  const head = await access.read(section.offset, Math.min(section.sizeBytes, headersBytesMax))
  let kernel: PeHeaders
  try {
    kernel = parseHeaders(head, section.sizeBytes)
  } catch (error) {
    throw new UkiError(
      'damaged',
      `its section .linux: ${error instanceof Error ? error.message : String(error)}`,
    )
  }
  if (kernel.machine !== machine) {
    throw new UkiError(
      'damaged',
      `its kernel is for ${kernel.machine ?? 'another processor'}, its stub for ${machine}`,
    )
  }
}
