/**
 * Unified kernel images: kernel, command line, initramfs and os-release in one EFI program, as systemd-boot starts
 * and counts them.
 *
 * What is written: sections added to systemd's stub (`linuxx64.efi.stub`, `linuxaa64.efi.stub`), each from a multiple
 * of 4 KiB on, uncompressed, what seldom changes first: `.linux .dtb .uname .sbat .initrd .cmdline .osrel`; a
 * checksum of the whole file. No signature, no PCR policies, no profiles. Nothing depends on the clock or the host.
 *
 * @see https://uapi-group.org/specifications/specs/unified_kernel_image/
 * @see https://www.freedesktop.org/software/systemd/man/latest/systemd-stub.html
 */
import { contentSizeBytes, readContent } from './stream/content.ts'
import type { FileContent } from './stream/content.ts'
import type { RandomAccess } from './random-access.ts'
import { coalesce } from './stream/coalesce.ts'
import { counted } from './stream/progress.ts'
import type { PassOptions } from './stream/progress.ts'
import { UkiError } from './uki/error.ts'
import { parseStub, planUki } from './uki/layout.ts'
import type { Part, Stub, UkiPlan } from './uki/layout.ts'
import { headersBytesMax, isEfiApplication, nxCompatible, parseHeaders } from './uki/pe.ts'
import type { PeHeaders, PeMachine } from './uki/pe.ts'
import { checkSum, readHeaders, readText } from './uki/reader.ts'
import type { Uki, UkiSection } from './uki/reader.ts'
import { mergeSbat } from './uki/sbat.ts'
import { checksumOf, sealedPieces } from './uki/writer.ts'

export type { PassOptions } from './stream/progress.ts'
export { UkiError } from './uki/error.ts'
export type { UkiErrorCode } from './uki/error.ts'
export type { PeMachine } from './uki/pe.ts'
export type { Uki, UkiSection } from './uki/reader.ts'
export type { SbatEntry } from './uki/sbat.ts'

/** What a UKI is made of. */
export interface UkiOptions extends PassOptions {
  /** systemd's stub for the kernel's processor, not signed. */
  readonly stub: FileContent
  /** The kernel, which must have an EFI stub of its own: `bzImage` of x86-64, `Image` of arm64. */
  readonly linux: FileContent
  /** The initramfs. Put what changes, such as the root's hash, at its end. */
  readonly initrd?: FileContent
  /** The kernel's command line. */
  readonly cmdline?: string
  /**
   * The text of `os-release`: `ID=`, `PRETTY_NAME=` is the entry's title, and `IMAGE_VERSION=` or `VERSION_ID=` sorts
   * it among others.
   */
  readonly osRelease: string
  /** The kernel's release, as `uname -r` tells it. */
  readonly uname?: string
  /** The device tree of a board. */
  readonly dtb?: FileContent
  /** Lines of SBAT for what is inside, added to the stub's own. */
  readonly sbat?: string
}

/** A UKI that is ready to be written. */
export interface UkiImage {
  /** The processor that it is for. */
  readonly machine: PeMachine
  /** All its bytes, a multiple of 4096. */
  readonly sizeBytes: number
  /** The sections that were added, in the order of the file. */
  readonly sections: readonly UkiSection[]
  /**
   * Starts a new pass over its bytes, which reads all files. The chunks are new memory, or views of content that was
   * given as bytes: do not change them. Rejects when a source gives more or fewer bytes than it promised, and at the
   * end when content is not the same as in {@link prepareUki}.
   */
  open(options?: PassOptions): AsyncGenerator<Uint8Array, void, undefined>
}

/** Stubs have 90 KB or so; more than this is another file. */
const stubBytesMax = 16 * 1024 * 1024

/**
 * Plans a UKI, and reads everything once for its checksum, of which `onProgress` tells.
 *
 * Blocks: no (awaited). Memory: the stub and one chunk of a file.
 *
 * @throws TypeError or RangeError, naming the part, for a stub or kernel that is damaged, signed or for another
 *   processor, texts that cannot be, headers without room, a UKI of 4 GiB or more; Error when a source gives more or
 *   fewer bytes than it promised
 *
 * @example
 * ```ts no-run
 * import { createWriteStream } from 'node:fs'
 * import { pipeline } from 'node:stream/promises'
 * import { hostFile } from '@pkg/image/file-source'
 * import { prepareUki } from '@pkg/image/uki'
 *
 * const uki = await prepareUki({
 *   stub: await hostFile('/usr/lib/systemd/boot/efi/linuxx64.efi.stub'),
 *   linux: await hostFile('/boot/vmlinuz'),
 *   initrd: await hostFile('/boot/initrd.img'),
 *   cmdline: 'console=ttyS0 panic=10',
 *   osRelease: 'ID=solo\nPRETTY_NAME=Solo\nIMAGE_VERSION=7\n',
 * })
 * await pipeline(uki.open(), createWriteStream('/boot/efi/EFI/Linux/solo-7+3-0.efi'))
 * ```
 */
export async function prepareUki(options: UkiOptions): Promise<UkiImage> {
  const { signal, onProgress } = options
  const stub = await named('stub', () => readStub(options.stub, signal))
  const kernel = await named('linux', () => readKernel(options.linux, signal))
  const { machine } = stub.headers
  if (!machine || kernel.machine !== machine) {
    throw new TypeError(`linux: a kernel for ${nameOf(kernel.machine)}, the stub is for ${nameOf(machine)}`)
  }
  const plan = await planOf(options, stub, kernel)
  const checksum = await checksumOf(plan, signal, onProgress)
  return {
    machine,
    sizeBytes: plan.sizeBytes,
    sections: plan.parts.map(({ name, offset, sizeBytes }) => ({ name, offset, sizeBytes })),
    open: (pass = {}) =>
      counted(coalesce(sealedPieces(plan, checksum, pass.signal ?? signal)), pass.onProgress),
  }
}

/**
 * Reads the headers of a UKI.
 *
 * Blocks: no (awaited). Reads a few blocks; see {@link checkUki} for the rest.
 *
 * @throws {@link UkiError} when the file is empty, cut off, damaged in its headers or those of its kernel, or no UKI
 *
 * @example
 * ```ts no-run
 * import { fileAccess } from '@pkg/image/file-access'
 * import { readUki } from '@pkg/image/uki'
 *
 * await using file = await fileAccess('/boot/efi/EFI/Linux/solo-7.efi')
 * const { machine, sections } = await readUki(file)
 * for (const { name, offset, sizeBytes } of sections) console.log(machine, name, offset, sizeBytes)
 * ```
 */
export async function readUki(access: RandomAccess): Promise<Uki> {
  return (await readHeaders(access)).uki
}

/**
 * Reads a UKI to its end: it is as long as its headers say, can be read, and has the checksum that it says, which
 * any flipped bit changes. A checksum of 32 bits is no protection against who means harm: compare digests for that.
 *
 * Blocks: no (awaited). Memory: 1 MiB.
 *
 * @throws {@link UkiError} as {@link readUki}, and `damaged` for a wrong checksum; what `access.read` rejects with
 */
export async function checkUki(access: RandomAccess, options: PassOptions = {}): Promise<Uki> {
  const { uki, headers } = await readHeaders(access)
  await checkSum(access, headers, options.signal, options.onProgress)
  return uki
}

/**
 * The text of a section: `.osrel`, `.cmdline`, `.uname` or `.sbat`; undefined when there is none.
 *
 * @throws {@link UkiError} when it is not UTF-8, or longer than 1 MiB
 */
export async function readUkiText(
  access: RandomAccess,
  uki: Uki,
  section: string,
): Promise<string | undefined> {
  return await readText(access, uki.sections, section)
}

async function planOf(options: UkiOptions, stub: Stub, kernel: PeHeaders): Promise<UkiPlan> {
  const stubSbat = sbatOf(stub)
  const sbat = options.sbat === undefined ? undefined : mergeSbat(stubSbat, options.sbat)
  const parts: Part[] = [
    { name: '.linux', content: options.linux },
    ...(options.dtb ? [{ name: '.dtb', content: options.dtb }] : []),
    ...textPart('.uname', 'uname', options.uname, /^[^\s\0]+$/),
    ...(stubSbat === undefined ? textPart('.sbat', 'sbat', sbat, /^/) : []),
    ...(options.initrd ? [{ name: '.initrd', content: options.initrd }] : []),
    // The kernel's command line is one line.
    ...textPart('.cmdline', 'cmdline', options.cmdline, /^[^\n\r\0]*$/),
    ...textPart('.osrel', 'osRelease', options.osRelease, /^[^\0]+$/),
  ]
  const kernelIsNxCompatible = (kernel.dllCharacteristics & nxCompatible) !== 0
  const replaced = stubSbat === undefined ? undefined : sbat
  return await named('stub', () => planUki(stub, parts, { sbat: replaced, kernelIsNxCompatible }))
}

function sbatOf({ bytes, headers }: Stub): string | undefined {
  const section = headers.sections.find(({ name }) => name === '.sbat')
  if (!section) return undefined
  const end = section.offset + Math.min(section.memoryBytes, section.fileBytes)
  return new TextDecoder().decode(bytes.subarray(section.offset, end))
}

function textPart(name: string, option: string, text: string | undefined, pattern: RegExp): Part[] {
  if (text === undefined) return []
  if (typeof text !== 'string' || !pattern.test(text) || !text.isWellFormed()) {
    throw new TypeError(`${option} is ${JSON.stringify(text)}, expected text that matches ${String(pattern)}`)
  }
  return text === '' ? [] : [{ name, content: new TextEncoder().encode(text) }]
}

async function readStub(content: FileContent, signal: AbortSignal | undefined): Promise<Stub> {
  if (contentSizeBytes(content) > stubBytesMax) {
    throw new RangeError(`it has ${contentSizeBytes(content)} bytes, systemd's have about 90 KB`)
  }
  const stub = parseStub(await firstBytes(content, stubBytesMax, 'stub', signal))
  if (!isEfiApplication(stub.headers)) throw new TypeError('it is no EFI program')
  return stub
}

async function readKernel(content: FileContent, signal: AbortSignal | undefined): Promise<PeHeaders> {
  const head = await firstBytes(content, headersBytesMax, 'linux', signal)
  return parseHeaders(head, contentSizeBytes(content))
}

async function firstBytes(
  content: FileContent,
  maxBytes: number,
  what: string,
  signal: AbortSignal | undefined,
): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  let sizeBytes = 0
  for await (const chunk of readContent(content, what, signal)) {
    chunks.push(chunk)
    sizeBytes += chunk.byteLength
    if (sizeBytes >= maxBytes) break
  }
  return new Uint8Array(Buffer.concat(chunks)).subarray(0, maxBytes)
}

/** Says of an error which of the caller's files it is about. */
async function named<T>(what: string, step: () => T | Promise<T>): Promise<T> {
  try {
    return await step()
  } catch (error) {
    if (error instanceof UkiError || error instanceof TypeError) {
      throw new TypeError(`${what}: ${error.message}`, { cause: error })
    }
    if (error instanceof RangeError) throw new RangeError(`${what}: ${error.message}`, { cause: error })
    throw error
  }
}

function nameOf(machine: PeMachine | undefined): string {
  return machine ?? 'a processor that is not known here'
}
