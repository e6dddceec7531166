/**
 * A guest of one sector, as bytes: enough to tell a KVM that works from one that only opens. It needs
 * what breaks first on machines without real virtualization: timer interrupts that wake HLT, the switch
 * to long mode with paging, and port output.
 */

/** What the guest prints on the debug console (port 0xE9). */
export const PROBE_MARK = 'solo-kvm'

/** isa-debug-exit ends QEMU with `(value << 1) | 1`; the guest writes 0x10 (QEMU hw/misc/debugexit.c). */
export const PROBE_EXIT_STATUS: number = (0x10 << 1) | 1

/** Where the BIOS loads a boot sector. */
const ORIGIN = 0x7c00

/** SeaBIOS does not boot from a virtio disk of one sector; one of this size it does (QEMU 7.2). */
const DISK_BYTES = 1 << 20

/** Offsets of what the code refers to: it is 0x89 bytes long, the mark follows, then the GDT. */
const LONG_MODE = 0x69
const MARK = 0x89
const GDT = MARK + PROBE_MARK.length
const GDT_POINTER = GDT + 16

const low = (offset: number): [number, number] => [(ORIGIN + offset) & 0xff, (ORIGIN + offset) >> 8]

// prettier-ignore
const CODE: readonly number[] = [
  0xfa,                                     // cli
  0x31, 0xc0,                               // xor ax, ax
  0x8e, 0xd8, 0x8e, 0xc0, 0x8e, 0xd0,       // ds = es = ss = 0
  0xbc, 0x00, 0x7c,                         // mov sp, 0x7c00
  // Two ticks of the BIOS clock at 0x46c: 18.2 a second.
  0xfb,                                     // sti
  0x8b, 0x1e, 0x6c, 0x04,                   // mov bx, [0x46c]
  0x83, 0xc3, 0x02,                         // add bx, 2
  0xf4,                                     // hlt
  0x39, 0x1e, 0x6c, 0x04,                   // cmp [0x46c], bx
  0x75, 0xf9,                               // jne back to hlt
  0xfa,                                     // cli
  // Page tables at 0x1000, 0x2000, 0x3000: one page of 2 MiB, virtual = physical.
  0xbf, 0x00, 0x10, 0xb9, 0x00, 0x18,       // mov di, 0x1000; mov cx, 0x1800
  0xfc, 0xf3, 0xab,                         // cld; rep stosw
  0xc7, 0x06, 0x00, 0x10, 0x03, 0x20,       // mov word [0x1000], 0x2003 (present, writable)
  0xc7, 0x06, 0x00, 0x20, 0x03, 0x30,       // mov word [0x2000], 0x3003
  0xc7, 0x06, 0x00, 0x30, 0x83, 0x00,       // mov word [0x3000], 0x0083 (present, writable, large)
  0x0f, 0x01, 0x16, ...low(GDT_POINTER),    // lgdt
  0x66, 0xb8, 0x20, 0x00, 0x00, 0x00, 0x0f, 0x22, 0xe0, // cr4 = PAE
  0x66, 0xb8, 0x00, 0x10, 0x00, 0x00, 0x0f, 0x22, 0xd8, // cr3 = 0x1000
  0x66, 0xb9, 0x80, 0x00, 0x00, 0xc0,       // mov ecx, 0xc0000080 (EFER)
  0x0f, 0x32, 0x80, 0xcc, 0x01, 0x0f, 0x30, // rdmsr; or ah, 1 (LME); wrmsr
  0x66, 0xb8, 0x01, 0x00, 0x00, 0x80, 0x0f, 0x22, 0xc0, // cr0 = PG | PE
  0xea, ...low(LONG_MODE), 0x08, 0x00,      // jmp 8:long
  // long: 64-bit code from here.
  0xbe, ...low(MARK), 0x00, 0x00,           // mov esi, mark
  0xb9, PROBE_MARK.length, 0x00, 0x00, 0x00, // mov ecx, length
  0xfc, 0xba, 0xe9, 0x00, 0x00, 0x00,       // cld; mov edx, 0xe9
  0xf3, 0x6e,                               // rep outsb
  0xba, 0xf4, 0x00, 0x00, 0x00,             // mov edx, 0xf4
  0xb8, 0x10, 0x00, 0x00, 0x00, 0xef,       // mov eax, 0x10; out dx, eax
  0xf4, 0xeb, 0xfd,                         // hlt; jmp back to hlt
]

// prettier-ignore
const TABLES: readonly number[] = [
  0, 0, 0, 0, 0, 0, 0, 0,
  0xff, 0xff, 0x00, 0x00, 0x00, 0x9a, 0xaf, 0x00, // code: 64 bits, present, ring 0
  15, 0, ...low(GDT), 0x00, 0x00,           // limit and address of the two above
]

/** The disk that carries the guest. */
export function bootSector(): Uint8Array {
  const disk = new Uint8Array(DISK_BYTES)
  disk.set(CODE)
  disk.set(new TextEncoder().encode(PROBE_MARK), MARK)
  disk.set(TABLES, GDT)
  disk.set([0x55, 0xaa], 510)
  return disk
}
