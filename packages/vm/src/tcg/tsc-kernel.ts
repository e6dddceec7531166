/**
 * A kernel of some sixty instructions' bytes that compares two clocks for ever: the time stamp counter, and the power
 * management timer, whose frequency is known. QEMU's `-kernel` loads it by the Multiboot header.
 *
 * @see https://www.gnu.org/software/grub/manual/multiboot/multiboot.html
 */

/** Frequency of the power management timer, in Hz (ACPI 6.5, 4.8.3.3). */
export const PM_TIMER_HZ = 3_579_545

/** Its counter has 24 bits: it begins again after 4.7 s. */
export const PM_TIMER_RANGE: number = 1 << 24

/** A sample: counter before (8 bytes), timer (4), low half of the counter after (4); little-endian. */
export const SAMPLE_BYTES = 16

const ORIGIN = 0x10_0000

/** Magic, flags (addresses are below), checksum; header, load start, load end, bss end, entry. */
const HEADER = [0x1bad_b002, 0x1_0000, -(0x1bad_b002 + 0x1_0000), ORIGIN, ORIGIN, 0, 0, ORIGIN + 32]

// prettier-ignore
const CODE: readonly number[] = [
  0x0f, 0x31,                         // rdtsc
  0xa3, 0x00, 0x00, 0x20, 0x00,       // mov [0x200000], eax
  0x89, 0x15, 0x04, 0x00, 0x20, 0x00, // mov [0x200004], edx
  0xba, 0x08, 0x06, 0x00, 0x00,       // mov edx, 0x608: SeaBIOS puts the power management block at 0x600
  0xed,                               // in eax, dx
  0x89, 0xc3,                         // mov ebx, eax
  0x0f, 0x31,                         // rdtsc
  0xa3, 0x0c, 0x00, 0x20, 0x00,       // mov [0x20000c], eax
  0x89, 0x1d, 0x08, 0x00, 0x20, 0x00, // mov [0x200008], ebx
  0xbe, 0x00, 0x00, 0x20, 0x00,       // mov esi, 0x200000
  0xb9, 0x10, 0x00, 0x00, 0x00,       // mov ecx, 16
  0xba, 0xe9, 0x00, 0x00, 0x00,       // mov edx, 0xe9: QEMU's debug console
  0xf3, 0x6e,                         // rep outsb
  0xeb, 0xcb,                         // back to the first instruction
]

/** The file for QEMU's `-kernel`. */
export function tscKernel(): Uint8Array {
  return Buffer.concat([Buffer.from(Int32Array.from(HEADER).buffer), Buffer.from(CODE)])
}
