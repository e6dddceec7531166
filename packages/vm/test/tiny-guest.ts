/**
 * Guests of a few bytes, for what needs a machine but no Linux: they boot in 0.1 s. Multiboot kernels
 * (QEMU loads them with `-kernel`), started in 32-bit protected mode.
 *
 * @see https://www.gnu.org/software/grub/manual/multiboot/multiboot.html
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const LOAD_ADDRESS = 0x10_0000
const HEADER_BYTES = 32
const MAGIC = 0x1badb002
/** Bit 16: the header says where to load to, so no ELF is needed. */
const FLAGS = 0x10000

/** Halts for ever with interrupts off. */
export const hang: readonly number[] = [0xfa, 0xf4, 0xeb, 0xfd]
/** Triple fault: an empty interrupt table, then a breakpoint. The machine resets. */
export const reset: readonly number[] = [0x0f, 0x01, 0x1d, 0, 0, 0, 0, 0xcc]
/** S5 by the PM1a control register, which SeaBIOS puts at 0x604 on q35. */
export const powerOff: readonly number[] = [0x66, 0xba, 0x04, 0x06, 0x66, 0xb8, 0x00, 0x20, 0x66, 0xef]

/** Writes each character to the first serial port: mov dx, 0x3f8; mov al, c; out dx, al. */
export function print(text: string): number[] {
  return text.split('').flatMap((character) => [0x66, 0xba, 0xf8, 0x03, 0xb0, character.charCodeAt(0), 0xee])
}

/** Prints `x` without end. */
export const flood: readonly number[] = [...print('x'), 0xeb, 0xf7]

/** Waits for a byte on the serial port: polls bit 0 of the line status register at 0x3fd, then reads it. */
export const readByte: readonly number[] = [
  0x66, 0xba, 0xfd, 0x03, 0xec, 0xa8, 0x01, 0x74, 0xf7, 0x66, 0xba, 0xf8, 0x03, 0xec,
]

/** A file with the guest whose code is `code`; gone with `using`. */
export function tinyGuest(code: readonly number[]): { path: string } & Disposable {
  const image = new Uint8Array(HEADER_BYTES + code.length)
  const header = new DataView(image.buffer)
  const entry = LOAD_ADDRESS + HEADER_BYTES
  // magic, flags, checksum; where the header is, where to load, where to end (0: all); no bss; entry.
  const words = [MAGIC, FLAGS, -(MAGIC + FLAGS), LOAD_ADDRESS, LOAD_ADDRESS, 0, 0, entry]
  for (const [index, word] of words.entries()) header.setUint32(index * 4, word, true)
  image.set(code, HEADER_BYTES)
  const folder = mkdtempSync(join(tmpdir(), 'solo-vm-test-'))
  const path = join(folder, 'guest.bin')
  writeFileSync(path, image)
  return { path, [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }) }
}
