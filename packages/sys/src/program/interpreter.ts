// The interpreter of syscall programs: a loop of machine code that makes one system call a row. It touches no
// stack and no memory but the rows, so it may run in a child that shares its parent's stack, or as a whole
// static executable. test/fixtures/interpreter.*.S is the same code for the assembler; a test compares the two.
import type { Architecture } from '../raw/architecture.ts'

/** A row is eleven 64-bit words; this is the index of each. */
export const rowWords = {
  number: 0,
  /** The first of six arguments. */
  arguments: 1,
  /** Bit k: argument k is the address of the value, not the value. That is how results travel. */
  indirect: 7,
  /** −errno that is as good as success; 0 for none. */
  tolerated: 8,
  /** Address of the row to go on with after any other error. */
  onError: 9,
  /** What the call returned. */
  result: 10,
} as const

/** Bytes a row. */
export const rowSizeBytes = 88

/** The interpreter for one architecture. */
export interface Interpreter {
  /** Position-independent machine code. */
  code: Uint8Array
  /**
   * Offset of `spawn(cloneRow, childRow)` in the C calling convention: makes the call of `cloneRow`, returns its
   * result in the parent and runs the rows from `childRow` in the child.
   */
  spawnOffset: number
  /** Offset of the loop. The address of the first row is in rbx, or x19. */
  loopOffset: number
}

const x64: Interpreter = {
  spawnOffset: 0,
  loopOffset: 0x25,
  // oxfmt-ignore
  code: Uint8Array.of(
    // spawn:
    0x49, 0x89, 0xf1,       // mov  r9, rsi       no clone call reads a sixth argument: it crosses in r9
    0x48, 0x8b, 0x07,       // mov  rax, [rdi]
    0x48, 0x8b, 0x77, 0x10, // mov  rsi, [rdi+16]
    0x48, 0x8b, 0x57, 0x18, // mov  rdx, [rdi+24]
    0x4c, 0x8b, 0x57, 0x20, // mov  r10, [rdi+32]
    0x4c, 0x8b, 0x47, 0x28, // mov  r8, [rdi+40]
    0x48, 0x8b, 0x7f, 0x08, // mov  rdi, [rdi+8]
    0x0f, 0x05,             // syscall
    0x48, 0x85, 0xc0,       // test rax, rax
    0x74, 0x01,             // je   child
    0xc3,                   // ret
    // child:
    0x4c, 0x89, 0xcb,       // mov  rbx, r9
    // loop:
    0x48, 0x8b, 0x03,       // mov  rax, [rbx]
    0x48, 0x8b, 0x7b, 0x08, // mov  rdi, [rbx+8]
    0x48, 0x8b, 0x73, 0x10, // mov  rsi, [rbx+16]
    0x48, 0x8b, 0x53, 0x18, // mov  rdx, [rbx+24]
    0x4c, 0x8b, 0x53, 0x20, // mov  r10, [rbx+32]
    0x4c, 0x8b, 0x43, 0x28, // mov  r8, [rbx+40]
    0x4c, 0x8b, 0x4b, 0x30, // mov  r9, [rbx+48]
    0x8b, 0x4b, 0x38,       // mov  ecx, [rbx+56]
    0xf6, 0xc1, 0x01, 0x74, 0x03, 0x48, 0x8b, 0x3f, // test cl, 1;  je +3; mov rdi, [rdi]
    0xf6, 0xc1, 0x02, 0x74, 0x03, 0x48, 0x8b, 0x36, // test cl, 2;  je +3; mov rsi, [rsi]
    0xf6, 0xc1, 0x04, 0x74, 0x03, 0x48, 0x8b, 0x12, // test cl, 4;  je +3; mov rdx, [rdx]
    0xf6, 0xc1, 0x08, 0x74, 0x03, 0x4d, 0x8b, 0x12, // test cl, 8;  je +3; mov r10, [r10]
    0xf6, 0xc1, 0x10, 0x74, 0x03, 0x4d, 0x8b, 0x00, // test cl, 16; je +3; mov r8, [r8]
    0xf6, 0xc1, 0x20, 0x74, 0x03, 0x4d, 0x8b, 0x09, // test cl, 32; je +3; mov r9, [r9]
    0x0f, 0x05,             // syscall
    0x48, 0x89, 0x43, 0x50, // mov  [rbx+80], rax
    0x48, 0x3d, 0x01, 0xf0, 0xff, 0xff, // cmp rax, -4095
    0x72, 0x0c,             // jb   next
    0x48, 0x3b, 0x43, 0x40, // cmp  rax, [rbx+64]
    0x74, 0x06,             // je   next
    0x48, 0x8b, 0x5b, 0x48, // mov  rbx, [rbx+72]
    0xeb, 0x98,             // jmp  loop
    // next:
    0x48, 0x83, 0xc3, 0x58, // add  rbx, 88
    0xeb, 0x92,             // jmp  loop
  ),
}

const arm64: Interpreter = {
  spawnOffset: 0,
  loopOffset: 0x24,
  // oxfmt-ignore
  code: new Uint8Array(Uint32Array.of(
    // spawn:
    0xaa0103e9, // mov x9, x1              the kernel keeps x9 through the call
    0xf9400008, // ldr x8, [x0]
    0xa9410801, // ldp x1, x2, [x0, #16]
    0xa9421003, // ldp x3, x4, [x0, #32]
    0xf9400400, // ldr x0, [x0, #8]
    0xd4000001, // svc #0
    0xb4000040, // cbz x0, child
    0xd65f03c0, // ret
    // child:
    0xaa0903f3, // mov x19, x9
    // loop:
    0xf9400268, // ldr x8, [x19]
    0xa9408660, // ldp x0, x1, [x19, #8]
    0xa9418e62, // ldp x2, x3, [x19, #24]
    0xa9429664, // ldp x4, x5, [x19, #40]
    0xf9401e69, // ldr x9, [x19, #56]
    0x36000049, 0xf9400000, // tbz x9, #0, +8; ldr x0, [x0]
    0x36080049, 0xf9400021, // tbz x9, #1, +8; ldr x1, [x1]
    0x36100049, 0xf9400042, // tbz x9, #2, +8; ldr x2, [x2]
    0x36180049, 0xf9400063, // tbz x9, #3, +8; ldr x3, [x3]
    0x36200049, 0xf9400084, // tbz x9, #4, +8; ldr x4, [x4]
    0x36280049, 0xf94000a5, // tbz x9, #5, +8; ldr x5, [x5]
    0xd4000001, // svc #0
    0xf9002a60, // str x0, [x19, #80]
    0xb13ffc1f, // cmn x0, #4095
    0x540000c3, // b.lo next
    0xf9402269, // ldr x9, [x19, #64]
    0xeb09001f, // cmp x0, x9
    0x54000060, // b.eq next
    0xf9402673, // ldr x19, [x19, #72]
    0x17ffffe7, // b   loop
    // next:
    0x91016273, // add x19, x19, #88
    0x17ffffe5, // b   loop
  ).buffer),
}

/** The interpreter by architecture. */
export const interpreters: Readonly<Record<Architecture, Interpreter>> = { x64, arm64 }

/** Machine code that loads `address` into the interpreter's row register, for the entry of an executable. */
export const loadRowAddress: Readonly<Record<Architecture, (address: number) => Uint8Array>> = {
  x64(address) {
    const code = Uint8Array.of(0x48, 0xbb, 0, 0, 0, 0, 0, 0, 0, 0) // mov rbx, imm64
    new DataView(code.buffer).setBigUint64(2, BigInt(address), true)
    return code
  },
  arm64(address) {
    const code = new Uint8Array(16)
    const words = new DataView(code.buffer)
    for (let part = 0; part < 4; part++) {
      const immediate = Number((BigInt(address) >> BigInt(16 * part)) & 0xffffn)
      // movz x19, #imm for the first 16 bits, movk x19, #imm, lsl #(16 · part) for the others.
      const opcode = part === 0 ? 0xd2800013 : 0xf2800013
      words.setUint32(4 * part, (opcode | (part << 21) | (immediate << 5)) >>> 0, true)
    }
    return code
  },
}
