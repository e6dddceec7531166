/** The first bytes of an ELF file: whether it is one, and of a kind that is read. */
import { ElfError } from './bytes.ts'
import type { ElfBytes } from './bytes.ts'

/** A processor whose files are read and written, by the name that uname(2) gives. */
export type ElfMachine = 'x86_64' | 'aarch64'

/** e_machine (linux/elf-em.h). */
const machines = new Map<number, ElfMachine>([
  [62, 'x86_64'],
  [183, 'aarch64'],
])

/** e_machine of files that people meet on 64-bit systems, for the error's sake. */
const otherMachines = new Map([
  [3, 'i386'],
  [8, 'mips'],
  [20, 'ppc'],
  [21, 'ppc64'],
  [22, 's390x'],
  [40, 'arm'],
  [243, 'riscv'],
  [258, 'loongarch'],
])

/** The processor of `file`. @throws ElfError unless it is a 64-bit little-endian ELF file of a known processor */
export function checkIdentity(file: ElfBytes): ElfMachine {
  const [class64, littleEndian, currentVersion] = [2, 1, 1]
  if (file.sizeBytes < 4 || file.u32(0, 'magic') !== 0x464c457f) {
    const isScript = file.sizeBytes > 2 && file.u16(0, 'magic') === 0x2123
    throw new ElfError(
      0,
      isScript ? 'a script (#!), not an ELF file' : 'not an ELF file: it does not begin with 7f 45 4c 46',
    )
  }
  const elfClass = file.u8(4, 'class')
  if (elfClass !== class64)
    throw new ElfError(4, `${elfClass === 1 ? 'a 32-bit file' : `class ${elfClass}`}: only 64-bit is read`)
  const order = file.u8(5, 'byte order')
  if (order !== littleEndian) throw new ElfError(5, `byte order ${order}: only little-endian (1) is read`)
  const version = file.u8(6, 'version')
  if (version !== currentVersion) throw new ElfError(6, `version ${version}, expected 1`)
  const machineNumber = file.u16(18, 'e_machine')
  const machine = machines.get(machineNumber)
  if (!machine) {
    const known = otherMachines.get(machineNumber)
    throw new ElfError(
      18,
      `for machine ${machineNumber}${known ? ` (${known})` : ''}: only x86_64 (62) and aarch64 (183) are read`,
    )
  }
  return machine
}
