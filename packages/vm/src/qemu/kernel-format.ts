/** Is a file a kernel that QEMU can boot on a machine of an architecture? Told by its first bytes, before it is tried. */
import { closeSync, openSync, readSync } from 'node:fs'
import { VmError } from '../errors.ts'
import type { Architecture } from '../machine.ts'

/** A multiboot header stands in the first 8 KiB (Multiboot 0.6.96, 3.1). */
const HEAD_BYTES = 8_192

/** What a file can be, by its magic number. */
export type KernelFormat =
  | 'bzImage'
  | 'multiboot'
  | 'elf-x86_64'
  | 'elf-aarch64'
  | 'arm64-image'
  | 'gzip'
  | 'efi-zboot'

const BOOTABLE: Readonly<Record<Architecture, readonly KernelFormat[]>> = {
  x86_64: ['bzImage', 'multiboot', 'elf-x86_64'],
  // QEMU unpacks gzip by itself for this architecture, and zboot images since 8.0 (hw/arm/boot.c).
  aarch64: ['arm64-image', 'gzip', 'efi-zboot', 'elf-aarch64'],
}

/**
 * Checks that `path` holds a kernel for `architecture`.
 *
 * @throws {@link VmError} it does not: what it holds, and what to give
 */
export function assertKernelFormat(path: string, architecture: Architecture): void {
  const format = formatOf(path)
  if (format !== undefined && BOOTABLE[architecture].includes(format)) return
  const wanted = architecture === 'x86_64' ? 'a bzImage' : 'an arm64 Image'
  const found = format === undefined ? 'not a kernel' : `of the format ${format}`
  throw new VmError(`kernel: ${path} is ${found}; give ${wanted} for an ${architecture} guest`)
}

/** The format of the kernel in a file; undefined for anything else. */
export function formatOf(path: string): KernelFormat | undefined {
  return kernelFormat(readHead(path))
}

/** The format of a kernel by the first bytes of its file; undefined for anything else. */
export function kernelFormat(head: Buffer): KernelFormat | undefined {
  // Linux, Documentation/arch/x86/boot.rst: "HdrS" at 0x202.
  if (head.toString('latin1', 0x202, 0x206) === 'HdrS') return 'bzImage'
  // Linux, Documentation/arch/arm64/booting.rst: "ARM\x64" at 56.
  if (head.toString('latin1', 56, 60) === 'ARM\x64') return 'arm64-image'
  // Linux, drivers/firmware/efi/libstub/zboot-header.S: "MZ", then "zimg" at 4.
  if (head.toString('latin1', 4, 8) === 'zimg') return 'efi-zboot'
  if (head.length > 2 && head.readUInt16BE(0) === 0x1f8b) return 'gzip'
  if (head.toString('latin1', 0, 4) === '\x7fELF' && head.length > 20) {
    // e_machine at 18: EM_386 is 3, EM_X86_64 62, EM_AARCH64 183 (elf.h).
    const machine = head.readUInt16LE(18)
    if (machine === 3 || machine === 62) return 'elf-x86_64'
    if (machine === 183) return 'elf-aarch64'
  }
  for (let offset = 0; offset + 4 <= head.length; offset += 4)
    if (head.readUInt32LE(offset) === 0x1badb002) return 'multiboot'
  return undefined
}

function readHead(path: string): Buffer {
  const head = Buffer.alloc(HEAD_BYTES)
  const file = openSync(path, 'r')
  try {
    return head.subarray(0, readSync(file, head, 0, HEAD_BYTES, 0))
  } finally {
    closeSync(file)
  }
}
