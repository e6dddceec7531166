/**
 * The kernel's small text files (/proc, /sys, cgroups): read whole, written in one write(2), since many of them
 * take a write as one command.
 */
import { AT_FDCWD, O_RDONLY, O_WRONLY } from '@pkg/sys/constants'
import { openat } from '@pkg/sys/fs'
import { read, write } from '@pkg/sys/io'

const decoder = new TextDecoder()
const encoder = new TextEncoder()

/** Reads a file whole, without relying on its size, which is 0 in /proc. */
export function readText(path: string): string {
  return decoder.decode(readBytes(path))
}

/** The bytes of such a file. */
export function readBytes(path: string): Uint8Array {
  using file = openat(AT_FDCWD, path, O_RDONLY)
  const chunks: Uint8Array[] = []
  for (;;) {
    const chunk = new Uint8Array(new ArrayBuffer(4096))
    const sizeBytes = read(file, chunk)
    if (sizeBytes === 0) break
    chunks.push(chunk.subarray(0, sizeBytes))
  }
  return Buffer.concat(chunks)
}

/** Writes a text in one call; the file must exist. */
export function writeText(path: string, text: string): void {
  using file = openat(AT_FDCWD, path, O_WRONLY)
  write(file, encoder.encode(text))
}
