/**
 * The smallest static executables that Linux runs: ELF header, program headers, segments; no sections, no linker.
 *
 * No memory is both writable and executable: a segment's flags cannot say so, segments with different flags cannot
 * share a page, and PT_GNU_STACK makes the stack not executable.
 */
import type { ElfMachine } from './identity.ts'

/** Bytes that become memory at a fixed address. */
export interface StaticElfSegment {
  /** Address of the first byte, from 65536 (the default of vm.mmap_min_addr on arm64) to below 2⁴⁷. */
  readonly address: number
  /** What lies there at the start; may be empty when `memorySizeBytes` is given. */
  readonly bytes: Uint8Array
  /** Read only, code, or data that may be written. */
  readonly flags: 'r' | 'rx' | 'rw'
  /** Bytes in memory, those after `bytes` zero. Default: as many as `bytes`. More needs `rw`. */
  readonly memorySizeBytes?: number
}

/** What {@link writeStaticElf} writes. */
export interface StaticElfOptions {
  /** The processor. */
  readonly machine: ElfMachine
  /** Where it starts: an address in a segment of code. */
  readonly entryAddress: number
  /** In any order; they are written by address. */
  readonly segments: readonly StaticElfSegment[]
}

/** What {@link staticElfAddresses} places. */
export interface StaticElfLayout {
  /** The processor, which decides the page size. */
  readonly machine: ElfMachine
  /** Bytes in memory of each segment, in the order in which they shall lie. */
  readonly sizesBytes: readonly number[]
  /** A multiple of 65536. Default 0x400000, where linkers put static programs. */
  readonly baseAddress?: number
}

const headerBytes = 64
const programHeaderBytes = 56
/** Code and data begin at multiples of this in the file, so that 16-byte constants are aligned. */
const segmentAlignBytes = 16
/** Kernels for aarch64 may have pages of 64 KiB; what runs on them runs on those with 4 KiB as well. */
const pageBytes: Record<ElfMachine, number> = { x86_64: 4096, aarch64: 65536 }
const machineNumbers: Record<ElfMachine, number> = { x86_64: 62, aarch64: 183 }
/** PF_X 1, PF_W 2, PF_R 4 (elf(5)). */
const flagNumbers: Record<StaticElfSegment['flags'], number> = { r: 4, rx: 5, rw: 6 }
const addressMin = 65_536
const addressEnd = 2 ** 47
const PT_LOAD = 1
const PT_GNU_STACK = 0x6474e551

/**
 * Addresses at which segments of these sizes make a file without gaps: each begins in the file where the one
 * before ends, and in memory on the next page, at the same place within the page.
 *
 * @returns an address for each size, in the same order
 * @throws RangeError for a size that is not a whole number or a base that is not a multiple of 65536
 *
 * @example
 * ```ts
 * import { staticElfAddresses } from '@pkg/image/elf'
 *
 * const [code, data] = staticElfAddresses({ machine: 'x86_64', sizesBytes: [98, 400] })
 * console.log(code?.toString(16), data?.toString(16)) // 4000f0 401160
 * ```
 */
export function staticElfAddresses(layout: StaticElfLayout): number[] {
  const page = pageOf(layout.machine)
  const baseAddress = layout.baseAddress ?? 0x400000
  if (!Number.isSafeInteger(baseAddress) || baseAddress < addressMin || baseAddress % 65_536 !== 0) {
    throw new RangeError(`baseAddress is ${baseAddress}, expected a multiple of 65536, not 0`)
  }
  let offset = headBytes(layout.sizesBytes.length)
  let freeAddress = baseAddress
  return layout.sizesBytes.map((sizeBytes) => {
    if (!Number.isSafeInteger(sizeBytes) || sizeBytes < 0)
      throw new RangeError(`a segment of ${sizeBytes} bytes`)
    offset = roundUp(offset, segmentAlignBytes)
    const address = freeAddress + (offset % page)
    offset += sizeBytes
    freeAddress = roundUp(address + Math.max(1, sizeBytes), page)
    return address
  })
}

/**
 * Writes a static executable (ET_EXEC) from memory laid out by the caller.
 *
 * @returns the file's bytes: headers, then each segment at the next offset that the loader can map to its address
 * @throws RangeError for addresses out of range, segments that share a page, an entry that is not in code,
 *   `memorySizeBytes` that is too small or of a segment that is not `rw`; TypeError for an unknown machine or flag
 * @see https://man7.org/linux/man-pages/man5/elf.5.html
 *
 * @example
 * ```ts
 * import { spawnSync } from 'node:child_process'
 * import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
 * import { staticElfAddresses, writeStaticElf } from '@pkg/image/elf'
 *
 * // mov edi, 42; mov eax, 60 (exit); syscall
 * const bytes = Uint8Array.of(0xbf, 42, 0, 0, 0, 0xb8, 60, 0, 0, 0, 0x0f, 0x05)
 * const [address = 0] = staticElfAddresses({ machine: 'x86_64', sizesBytes: [bytes.byteLength] })
 * const elf = writeStaticElf({ machine: 'x86_64', entryAddress: address, segments: [{ address, bytes, flags: 'rx' }] })
 *
 * const folder = mkdtempSync('/tmp/static-elf-')
 * writeFileSync(`${folder}/exit42`, elf, { mode: 0o755 })
 * if (process.arch === 'x64') console.log(spawnSync(`${folder}/exit42`).status) // 42
 * rmSync(folder, { recursive: true })
 * ```
 */
export function writeStaticElf(options: StaticElfOptions): Uint8Array {
  const page = pageOf(options.machine)
  const segments = options.segments.toSorted((left, right) => left.address - right.address)
  for (const segment of segments) checkSegment(segment)
  checkApart(segments, page)
  checkEntry(segments, options.entryAddress)

  let endOffset = headBytes(segments.length)
  const offsets = segments.map(({ address, bytes }) => {
    // Nothing of the file is mapped, but the offset must still equal the address modulo the page.
    if (bytes.byteLength === 0) return address % page
    const offset = mappableOffset(endOffset, address, page)
    endOffset = offset + bytes.byteLength
    return offset
  })
  const file = new Uint8Array(endOffset)
  const view = new DataView(file.buffer)
  writeHeader(view, options, segments.length + 1)
  for (const [index, segment] of segments.entries()) {
    const { address, bytes, flags } = segment
    const offset = offsets[index] ?? 0
    const sizes = [bytes.byteLength, memoryBytes(segment)] as const
    writeProgramHeader(view, index, [PT_LOAD, flagNumbers[flags], offset, address, ...sizes, page])
    if (bytes.byteLength > 0) file.set(bytes, offset)
  }
  writeProgramHeader(view, segments.length, [PT_GNU_STACK, flagNumbers.rw, 0, 0, 0, 0, segmentAlignBytes])
  return file
}

function headBytes(segmentCount: number): number {
  return headerBytes + (segmentCount + 1) * programHeaderBytes
}

function roundUp(value: number, multiple: number): number {
  return Math.ceil(value / multiple) * multiple
}

/** The first offset from `start` on that equals `address` modulo the page, as mmap needs it. */
function mappableOffset(start: number, address: number, page: number): number {
  return start + ((((address - start) % page) + page) % page)
}

function pageOf(machine: ElfMachine): number {
  if (!Object.hasOwn(pageBytes, machine))
    throw new TypeError(`machine ${JSON.stringify(machine)}, expected x86_64 or aarch64`)
  return pageBytes[machine]
}

function hex(address: number): string {
  return `0x${address.toString(16)}`
}

function memoryBytes(segment: StaticElfSegment): number {
  return segment.memorySizeBytes ?? segment.bytes.byteLength
}

function checkSegment(segment: StaticElfSegment): void {
  const { address, bytes, flags } = segment
  if (!Object.hasOwn(flagNumbers, flags)) {
    throw new TypeError(
      `segment at ${hex(address)}: flags ${JSON.stringify(flags)}, expected r, rx or rw: never w with x`,
    )
  }
  const sizeBytes = memoryBytes(segment)
  if (!Number.isSafeInteger(address) || address < addressMin || address + sizeBytes > addressEnd) {
    throw new RangeError(`segment at ${hex(address)} of ${sizeBytes} bytes, expected within 0x10000 and 2⁴⁷`)
  }
  if (!Number.isSafeInteger(sizeBytes) || sizeBytes < 1 || sizeBytes < bytes.byteLength) {
    throw new RangeError(
      `segment at ${hex(address)}: memorySizeBytes is ${sizeBytes}, with ${bytes.byteLength} bytes given`,
    )
  }
  // The kernel clears the rest of the last page by writing to it.
  if (sizeBytes > bytes.byteLength && flags !== 'rw') {
    throw new RangeError(`segment at ${hex(address)}: memory beyond its bytes needs the flags rw`)
  }
}

function checkApart(segments: readonly StaticElfSegment[], page: number): void {
  for (const [index, segment] of segments.entries()) {
    const before = segments[index - 1]
    if (
      before &&
      Math.floor((before.address + memoryBytes(before) - 1) / page) >= Math.floor(segment.address / page)
    ) {
      throw new RangeError(
        `segments at ${hex(before.address)} and ${hex(segment.address)} share a page of ${page} bytes: their flags could not differ`,
      )
    }
  }
}

function checkEntry(segments: readonly StaticElfSegment[], entryAddress: number): void {
  const isCode = segments.some(
    ({ address, bytes, flags }) =>
      flags === 'rx' && entryAddress >= address && entryAddress < address + bytes.byteLength,
  )
  if (!isCode) throw new RangeError(`entryAddress ${hex(entryAddress)} lies in no segment with the flags rx`)
}

function writeHeader(
  view: DataView,
  { machine, entryAddress }: StaticElfOptions,
  programHeaderCount: number,
): void {
  view.setUint32(0, 0x7f454c46)
  // ELFCLASS64, ELFDATA2LSB, EV_CURRENT; then ELFOSABI_NONE.
  view.setUint32(4, 0x02010100)
  view.setUint16(16, 2, true)
  view.setUint16(18, machineNumbers[machine], true)
  view.setUint32(20, 1, true)
  view.setBigUint64(24, BigInt(entryAddress), true)
  view.setBigUint64(32, BigInt(headerBytes), true)
  view.setUint16(52, headerBytes, true)
  view.setUint16(54, programHeaderBytes, true)
  view.setUint16(56, programHeaderCount, true)
  // e_shentsize: readelf complains about 0, although there are no section headers.
  view.setUint16(58, 64, true)
}

/** Fields: p_type, p_flags, p_offset, p_vaddr (and p_paddr), p_filesz, p_memsz, p_align. */
function writeProgramHeader(view: DataView, index: number, fields: readonly number[]): void {
  const [type = 0, flags = 0, offset = 0, address = 0, ...rest] = fields
  const at = headerBytes + index * programHeaderBytes
  view.setUint32(at, type, true)
  view.setUint32(at + 4, flags, true)
  for (const [position, value] of [offset, address, address, ...rest].entries()) {
    view.setBigUint64(at + 8 + position * 8, BigInt(value), true)
  }
}
