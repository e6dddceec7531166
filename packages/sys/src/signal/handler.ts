// Signal handlers in machine code. They write the siginfo_t into a pipe and return: nothing of the engine runs in
// signal context, and the kernel's whole record survives.
import type { Architecture } from '../raw/number.ts'

/** SI_TKILL (uapi/asm-generic/siginfo.h): sent by a thread to a thread, as the engine does with SIGPWR. */
const SI_TKILL = -6

function word(value: number): number[] {
  return [value & 0xff, (value >> 8) & 0xff, (value >> 16) & 0xff, (value >> 24) & 0xff]
}

function x64(pipe: number, chained: number | undefined): Uint8Array {
  const write = [
    ...[0xbf, ...word(pipe)], // mov  edi, pipe     rsi is the siginfo_t already
    ...[0xba, ...word(128)], //  mov  edx, 128
    ...[0xb8, ...word(1)], //    mov  eax, 1        write
    ...[0x0f, 0x05], //          syscall
    0xc3, //                     ret
  ]
  if (chained === undefined) return Uint8Array.from(write)
  const address = new Uint8Array(BigUint64Array.of(BigInt(chained)).buffer)
  return Uint8Array.from([
    ...[0x83, 0x7e, 0x08, SI_TKILL & 0xff], // cmp dword [rsi+8], SI_TKILL
    ...[0x75, 0x0c], //                        jne write
    ...[0x48, 0xb8, ...address], //            mov rax, chained
    ...[0xff, 0xe0], //                        jmp rax
    ...write,
  ])
}

function arm64(pipe: number, chained: number | undefined): Uint8Array {
  const movz = (register: number, value: number, shift = 0): number =>
    (0xd2800000 | ((shift / 16) << 21) | ((value & 0xffff) << 5) | register) >>> 0
  const movk = (register: number, value: number, shift: number): number =>
    movz(register, value, shift) | 0x20000000
  const write = [
    movz(0, pipe), //             movz x0, #pipe[15:0]   x1 is the siginfo_t already
    movk(0, pipe >>> 16, 16), //  movk x0, #pipe[31:16], lsl #16
    movz(2, 128), //              movz x2, #128
    movz(8, 64), //               movz x8, #64           write
    0xd4000001, //                svc  #0
    0xd65f03c0, //                ret
  ]
  if (chained === undefined) return new Uint8Array(Uint32Array.from(write).buffer)
  const address = BigInt(chained)
  const part = (index: number): number => Number((address >> BigInt(16 * index)) & 0xffffn)
  const chain = [
    0xb9400829, // ldr  w9, [x1, #8]
    0x31001929, // adds w9, w9, #6                        −SI_TKILL
    0x540000c1, // b.ne write                             six instructions on
    movz(10, part(0)),
    movk(10, part(1), 16),
    movk(10, part(2), 32),
    movk(10, part(3), 48),
    0xd61f0140, // br   x10
  ]
  return new Uint8Array(Uint32Array.from([...chain, ...write]).buffer)
}

/**
 * The machine code of a handler that writes its siginfo_t to descriptor `pipe`.
 *
 * @param chained - address of the handler that was there before: it gets the signals that a thread sent (SI_TKILL)
 */
export function handlerCode(architecture: Architecture, pipe: number, chained?: number): Uint8Array {
  return architecture === 'x64' ? x64(pipe, chained) : arm64(pipe, chained)
}

/** What a handler returns to on x86-64, `rt_sigreturn`; arm64 has one in its vDSO. */
export const x64RestorerCode = (): Uint8Array =>
  Uint8Array.from([
    ...[0xb8, ...word(15)], // mov eax, 15        rt_sigreturn
    ...[0x0f, 0x05], //        syscall
  ])
