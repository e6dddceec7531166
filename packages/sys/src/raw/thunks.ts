// One thunk of machine code per system call: moves the arguments from the C calling convention to the
// kernel's and returns the kernel's number, −errno included. No libc between, so no errno to race for.
import { mapCode } from './ffi.ts'
import { type Architecture, currentArchitecture, numbersOn } from './number.ts'

/** Room for one thunk; the longest is 12 bytes, and 16 keeps each in one cache line. */
const thunkSize = 16

const thunkCode: Record<Architecture, (number: number) => number[]> = {
  x64: (number) => [
    ...[0xb8, ...littleEndian(number)], // mov  eax, number
    ...[0x49, 0x89, 0xca], //              mov  r10, rcx   the fourth argument: `syscall` overwrites rcx
    ...[0x0f, 0x05], //                    syscall
    0xc3, //                               ret
  ],
  arm64: (number) => [
    ...littleEndian(0xd2800008 | (number << 5)), // movz x8, #number
    ...littleEndian(0xd4000001), //                 svc  #0
    ...littleEndian(0xd65f03c0), //                 ret
  ],
}

function littleEndian(word: number): number[] {
  return [word & 0xff, (word >>> 8) & 0xff, (word >>> 16) & 0xff, (word >>> 24) & 0xff]
}

/** The thunks of every system call of `architecture`, one each 16 bytes, indexed by number. */
export function thunkTable(architecture: Architecture): Uint8Array {
  const count = Math.max(...numbersOn(architecture).values()) + 1
  const table = new Uint8Array(count * thunkSize)
  for (let number = 0; number < count; number++) {
    table.set(thunkCode[architecture](number), number * thunkSize)
  }
  return table
}

let tableAddress: number | undefined

/**
 * The address of the thunk for system call `number` on this process's architecture.
 *
 * All thunks (7 KB) are written at once: the page is executable from then on and never changes.
 */
export function thunkAddress(number: number): number {
  tableAddress ??= mapCode(thunkTable(currentArchitecture()))
  return tableAddress + number * thunkSize
}
