// The sections of an EFI program as pe_locate_sections() of systemd-boot 252 finds them: without a look at what they
// hold, so that a file of which only the head has been written is an entry all the same.
import type { RandomAccess } from '@pkg/image/random-access'

/** A section's place in the file. */
export interface Section {
  /** With its dot: `.osrel`. */
  readonly name: string
  /** First byte in the file. */
  readonly offset: number
  /** Bytes that it has in memory, which are those that are read of it. */
  readonly sizeBytes: number
}

const COFF_BYTES = 20
const SECTION_BYTES = 40
const SECTIONS_MAX = 96
const PE32_PLUS = 0x20b
const MACHINES = new Set([0x8664, 0xaa64])

/** The sections; undefined for what the loader takes for no program. */
export async function peSections(file: RandomAccess): Promise<Section[] | undefined> {
  const dos = await file.read(0, 64)
  if (dos.length < 64 || dos[0] !== 0x4d || dos[1] !== 0x5a) return undefined
  const at = viewOf(dos).getUint32(0x3c, true)
  const head = await file.read(at, 4 + COFF_BYTES + 2)
  if (head.length < 4 + COFF_BYTES + 2) return undefined
  const view = viewOf(head)
  const count = view.getUint16(4 + 2, true)
  const isProgram =
    view.getUint32(0, true) === 0x4550 &&
    MACHINES.has(view.getUint16(4, true)) &&
    view.getUint16(4 + COFF_BYTES, true) === PE32_PLUS
  if (!isProgram || count > SECTIONS_MAX) return undefined
  const table = await file.read(at + 4 + COFF_BYTES + view.getUint16(4 + 16, true), count * SECTION_BYTES)
  if (table.length < count * SECTION_BYTES) return undefined
  return Array.from({ length: count }, (_, index) => {
    const section = table.subarray(index * SECTION_BYTES, (index + 1) * SECTION_BYTES)
    const fields = viewOf(section)
    return {
      name: new TextDecoder('latin1').decode(section.subarray(0, 8)).replace(/\0+$/, ''),
      sizeBytes: fields.getUint32(8, true),
      offset: fields.getUint32(20, true),
    }
  })
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
