// The kernel inside a bzImage: packed by the distribution's programs, told by its own ELF note.
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { directKernel } from '../src/kernel/direct.ts'

let folder: string
beforeEach(() => void (folder = mkdtempSync(join(tmpdir(), 'direct-kernel-'))))
afterEach(() => rmSync(folder, { recursive: true, force: true }))

/** A note as in xen/interface/elfnote.h: sizes of name and content, type, name, content. */
function note(owner: string, type: number): Buffer {
  const bytes = Buffer.alloc(12 + 4 + 8)
  bytes.writeUInt32LE(owner.length + 1, 0)
  bytes.writeUInt32LE(8, 4)
  bytes.writeUInt32LE(type, 8)
  bytes.write(`${owner}\0`, 12)
  return bytes
}

/** An ELF file of nothing but notes. */
function elf(notes: Buffer): Buffer {
  const header = Buffer.alloc(64 + 56)
  header.write('\x7fELF\x02\x01\x01', 'latin1')
  header.writeBigUInt64LE(64n, 32) // e_phoff
  header.writeUInt16LE(56, 54) // e_phentsize
  header.writeUInt16LE(1, 56) // e_phnum
  header.writeUInt32LE(4, 64) // PT_NOTE
  header.writeBigUInt64LE(120n, 64 + 8) // p_offset
  header.writeBigUInt64LE(BigInt(notes.length), 64 + 32) // p_filesz
  return Buffer.concat([header, notes])
}

/** A bzImage around `payload`: one sector of set-up after the first, as setup_sects says. */
function bzImage(payload: Buffer): string {
  const setup = Buffer.alloc(1024)
  setup[0x1f1] = 1
  setup.write('HdrS', 0x202)
  setup.writeUInt16LE(0x20f, 0x206)
  setup.writeUInt32LE(16, 0x248)
  setup.writeUInt32LE(payload.length, 0x24c)
  const path = join(folder, 'vmlinuz')
  writeFileSync(path, Buffer.concat([setup, Buffer.alloc(16), payload, Buffer.from('a signature')]))
  return path
}

const kernel = elf(Buffer.concat([note('GNU', 3), note('Xen', 18)]))
const size = Buffer.from(Uint32Array.of(kernel.length).buffer)

test.each([
  ['gzip', ['-c'], Buffer.alloc(0)],
  ['xz', ['-c', '--check=crc32'], size],
  ['zstd', ['-c', '-q'], size],
] as const)('directKernel() finds the kernel that %s has packed', async (program, args, trailer) => {
  const packed = execFileSync(program, args, { input: kernel })
  const found = await directKernel(bzImage(Buffer.concat([packed, trailer])), folder)
  expect(readFileSync(found).equals(kernel)).toBe(true)
})

test('directKernel() unpacks an image once, and again when it has changed', async () => {
  const first = await directKernel(bzImage(execFileSync('gzip', ['-c'], { input: kernel })), folder)
  expect(await directKernel(join(folder, 'vmlinuz'), folder)).toBe(first)
  const other = elf(Buffer.concat([note('Xen', 18), note('Xen', 2)]))
  const second = await directKernel(bzImage(execFileSync('gzip', ['-c'], { input: other })), folder)
  expect(second).not.toBe(first)
  expect(readFileSync(second).equals(other)).toBe(true)
})

test.each([
  ['a kernel without an entry for QEMU', elf(note('Xen', 2))],
  ["a note of the number, but not of Xen's", elf(note('GNU', 18))],
  ['what is no ELF file', Buffer.from('a kernel of long ago')],
])('directKernel() leaves %s packed', async (_, content) => {
  const image = bzImage(execFileSync('gzip', ['-c'], { input: content }))
  expect(await directKernel(image, folder)).toBe(image)
  expect(await directKernel(image, folder)).toBe(image)
})

test('directKernel() gives back what is no bzImage, or is packed in another way', async () => {
  const image = bzImage(Buffer.from('BZh9 is bzip2'))
  expect(await directKernel(image, folder)).toBe(image)
  const script = join(folder, 'script')
  writeFileSync(script, '#!/bin/sh\n')
  expect(await directKernel(script, folder)).toBe(script)
})
