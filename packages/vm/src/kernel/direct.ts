/**
 * The kernel proper, out of the bzImage around it. A bzImage unpacks itself, and translated (TCG) the XZ of Debian's
 * takes three seconds of every boot; here it is unpacked once. QEMU enters an ELF kernel by its PVH entry.
 *
 * @see https://www.kernel.org/doc/html/v6.1/x86/boot.html (payload_offset, payload_length)
 * @see https://xenbits.xen.org/docs/unstable/misc/pvh.html
 */
import { createWriteStream, existsSync, statSync } from 'node:fs'
import { open, readFile, rm, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { sha256 } from '../host/files.ts'
import { fillOnce } from '../host/once.ts'
import { streamProgram } from '../host/program.ts'
import { findProgram } from '../host/find-program.ts'

/** Raised when what is kept changes, so that old caches are not used. */
const LAYOUT_VERSION = 1

/** The kept file; a folder without it says that the image has no such kernel in it. */
const FILE = 'vmlinux'

/** What a payload may be packed with, by its first bytes (lib/decompress.c; LZ4 is in its legacy format). */
const PACKERS: readonly (readonly [magic: string, program: string])[] = [
  ['fd377a585a00', 'xz'],
  ['28b52ffd', 'zstd'],
  ['02214c18', 'lz4'],
  ['1f8b', 'gzip'],
]

/**
 * The ELF kernel inside the bzImage `image`, unpacked in the cache folder; `image` itself when there is none that QEMU
 * could enter, or the host lacks the program that unpacks it: that boots as well, later.
 */
export async function directKernel(image: string, cache: string): Promise<string> {
  const { size, mtimeMs } = statSync(image)
  const id = sha256(`${resolve(image)} ${size} ${mtimeMs}`).slice(0, 32)
  const folder = join(cache, 'kernels', `direct-${id}-v${LAYOUT_VERSION}`)
  const kept = join(folder, FILE)
  if (!existsSync(folder)) {
    const payload = payloadOf(await readFile(image))
    const program = payload && packerOf(payload)
    if (payload === undefined || program === undefined || findProgram(program) === undefined) return image
    await fillOnce(folder, async (scratch) => {
      const file = join(scratch, FILE)
      await unpack(program, payload, file)
      if (!(await hasPvhEntry(file))) await rm(file)
    })
  }
  return existsSync(kept) ? kept : image
}

/** The packed kernel; undefined for what is no bzImage (protocol 2.08 has the fields). */
function payloadOf(image: Buffer): Buffer | undefined {
  if (image.length < 0x250 || image.toString('latin1', 0x202, 0x206) !== 'HdrS') return undefined
  if (image.readUInt16LE(0x206) < 0x208) return undefined
  // setup_sects counts sectors of 512 bytes, without the first; 0 means 4.
  const setupBytes = ((image[0x1f1] || 4) + 1) * 512
  const start = setupBytes + image.readUInt32LE(0x248)
  return image.subarray(start, start + image.readUInt32LE(0x24c))
}

function packerOf(payload: Buffer): string | undefined {
  const head = payload.toString('hex', 0, 8)
  return PACKERS.find(([magic]) => head.startsWith(magic))?.[1]
}

async function unpack(program: string, payload: Buffer, file: string): Promise<void> {
  const packed = `${file}.packed`
  // The last four bytes are the unpacked size; gzip's own trailer ends with it (scripts/Makefile.lib, size_append).
  await writeFile(packed, program === 'gzip' ? payload : payload.subarray(0, -4))
  const { output, done } = streamProgram(program, ['-dc', packed])
  await Promise.all([pipeline(output, createWriteStream(file)), done])
  await rm(packed)
}

/** Program headers of type PT_NOTE (elf.h). */
const PT_NOTE = 4

/** XEN_ELFNOTE_PHYS32_ENTRY: where a 32-bit kernel begins, without paging (xen/interface/elfnote.h). */
const PHYS32_ENTRY = 18

/** Whether an ELF file of 64 bits has the note that QEMU looks for (hw/i386/x86.c, read_pvh_start_addr). */
async function hasPvhEntry(path: string): Promise<boolean> {
  const file = await open(path)
  const read = async (position: number, length: number): Promise<Buffer> =>
    (await file.read(Buffer.alloc(length), 0, length, position)).buffer
  try {
    const header = await read(0, 64)
    if (header.toString('latin1', 0, 5) !== '\x7fELF\x02') return false
    const [entryBytes, count] = [header.readUInt16LE(54), header.readUInt16LE(56)]
    const table = await read(Number(header.readBigUInt64LE(32)), entryBytes * count)
    for (let at = 0; at < table.length; at += entryBytes) {
      if (table.readUInt32LE(at) !== PT_NOTE) continue
      const [offset, sizeBytes] = [table.readBigUInt64LE(at + 8), table.readBigUInt64LE(at + 32)]
      if (hasNote(await read(Number(offset), Number(sizeBytes)), 'Xen', PHYS32_ENTRY)) return true
    }
    return false
  } finally {
    await file.close()
  }
}

/** Notes: sizes of name and content, type; then both, each padded to four bytes (elf(5)). */
function hasNote(notes: Buffer, owner: string, type: number): boolean {
  const padded = (length: number): number => Math.ceil(length / 4) * 4
  for (let at = 0; at + 12 <= notes.length;) {
    const [nameBytes, contentBytes] = [notes.readUInt32LE(at), notes.readUInt32LE(at + 4)]
    const name = notes.toString('latin1', at + 12, at + 12 + nameBytes).replace(/\0$/, '')
    if (name === owner && notes.readUInt32LE(at + 8) === type) return true
    at += 12 + padded(nameBytes) + padded(contentBytes)
  }
  return false
}
