/**
 * New randomness for a process that was copied with its guest: BoringSSL's, the engine's, and what Bun has drawn in
 * advance. Built-in modules only: vitest's worker in a guest loads this file as it is.
 */
import { setRandomSeed } from 'bun:jsc'
import { closeSync, openSync, readFileSync, readSync, writeSync } from 'node:fs'

/**
 * Bun makes 8 KiB of random bytes at a time, for UUIDs and for small draws of `getRandomValues` alike (rare_data.zig,
 * EntropyCache). Draws of 64 bytes come from there; those of 512 do not (seen in restored guests).
 */
const CACHE_BYTES = 8192
const CACHED_DRAW_BYTES = 64

/**
 * Gives this process new randomness from the kernel, which must have its own already.
 *
 * BoringSSL knows that its process was copied by a page that the kernel empties in the copy (MADV_WIPEONFORK,
 * crypto/rand/fork_detect): we empty it, and it asks the kernel for a new seed at its next use. `Math.random` is
 * seeded by name; bytes that were made in advance are used up.
 */
export function reseed(): void {
  const memory = openSync('/proc/self/mem', 'r+')
  try {
    for (const address of wipedPages()) writeSync(memory, new Uint8Array(8), 0, 8, address)
  } finally {
    closeSync(memory)
  }
  setRandomSeed(kernelsNumber())
  for (let usedBytes = 0; usedBytes <= CACHE_BYTES; usedBytes += CACHED_DRAW_BYTES)
    crypto.getRandomValues(new Uint8Array(CACHED_DRAW_BYTES))
}

/** 32 random bits that no generator of this process has seen. */
function kernelsNumber(): number {
  const bits = new Uint32Array(1)
  const device = openSync('/dev/urandom', 'r')
  try {
    readSync(device, bits)
  } finally {
    closeSync(device)
  }
  return bits[0] ?? 0
}

/**
 * Looked up once: the page stays where it is, and smaps costs the walk of every page table, 0.1 s in a translated guest.
 * A machine that is to be saved does this beforehand.
 */
let knownPages: readonly number[] | undefined

function wipedPages(): readonly number[] {
  if (knownPages !== undefined) return knownPages
  // The page comes with the first use.
  crypto.getRandomValues(new Uint8Array(1))
  knownPages = wipedOnFork(readFileSync('/proc/self/smaps', 'latin1'))
  return knownPages
}

/** Where the mappings with the flag `wf` of /proc/pid/smaps begin. */
export function wipedOnFork(smaps: string): number[] {
  const addresses: number[] = []
  let address = 0
  for (const line of smaps.split('\n')) {
    const start = /^([0-9a-f]+)-[0-9a-f]+ /.exec(line)?.[1]
    if (start !== undefined) address = Number.parseInt(start, 16)
    else if (/^VmFlags:.* wf\b/.test(line)) addresses.push(address)
  }
  return addresses
}
