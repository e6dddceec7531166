/** Sections by name: where relocatable files such as kernel modules keep things like `.modinfo`. */
import { ElfBytes, ElfError } from './bytes.ts'
import { checkIdentity } from './identity.ts'

const sectionHeaderBytes = 64
/** sh_type SHT_NOBITS: memory without bytes in the file (elf(5)). */
const SHT_NOBITS = 8

/**
 * The bytes of the first section called `name`, as a view of `bytes`; undefined if there is none.
 *
 * @param bytes - the whole file
 * @param name - such as `.modinfo`
 * @throws {@link ElfError} when it is no ELF file of a kind that is read, or when the section headers are cut off or damaged
 * @see https://man7.org/linux/man-pages/man5/elf.5.html
 *
 * @example
 * ```ts
 * import { readFile } from 'node:fs/promises'
 * import { elfSection } from '@pkg/image/elf'
 *
 * const interpreter = elfSection(await readFile('/bin/sh'), '.interp')
 * console.log(new TextDecoder().decode(interpreter))
 * ```
 */
export function elfSection(bytes: Uint8Array, name: string): Uint8Array | undefined {
  const file = new ElfBytes(bytes)
  checkIdentity(file)
  const tableOffset = file.offset(40, 'e_shoff')
  if (tableOffset === 0) return undefined
  const entryBytes = file.u16(58, 'e_shentsize')
  if (entryBytes !== sectionHeaderBytes)
    throw new ElfError(58, `section headers of ${entryBytes} bytes, expected 64`)
  // Numbers that do not fit are in the first section header (elf(5): e_shnum 0, e_shstrndx SHN_XINDEX).
  const count = file.u16(60, 'e_shnum') || file.offset(tableOffset + 32, 'sh_size of section 0')
  const shortIndex = file.u16(62, 'e_shstrndx')
  const namesIndex = shortIndex === 0xffff ? file.u32(tableOffset + 40, 'sh_link of section 0') : shortIndex
  file.check(tableOffset, count * sectionHeaderBytes, 'the section headers')
  if (namesIndex >= count) throw new ElfError(62, `e_shstrndx is ${namesIndex} of ${count} sections`)
  const names = range(file, tableOffset + namesIndex * sectionHeaderBytes)
  for (let index = 0; index < count; index++) {
    const at = tableOffset + index * sectionHeaderBytes
    const nameOffset = file.u32(at, 'sh_name')
    if (nameOffset >= names.sizeBytes) continue
    if (file.string(names.offset + nameOffset, names.offset + names.sizeBytes, 'a section name') !== name)
      continue
    if (file.u32(at + 4, 'sh_type') === SHT_NOBITS) return new Uint8Array(0)
    const { offset, sizeBytes } = range(file, at)
    return file.slice(offset, sizeBytes, `section ${name}`)
  }
  return undefined
}

function range(file: ElfBytes, at: number): { offset: number; sizeBytes: number } {
  return { offset: file.offset(at + 24, 'sh_offset'), sizeBytes: file.offset(at + 32, 'sh_size') }
}
