// Two releases, a machine that runs the first, and what it takes to install the second on it.
import { bytesAccess } from '@pkg/image/random-access'
import { expect } from 'vitest'
import { installRelease, type Installed } from '../../src/install.ts'
import type { BlobSource } from '../../src/source.ts'
import { MemorySource } from './memory-source.ts'
import { noise, type SampleRelease, sampleRelease, text } from './sample-release.ts'
import { type DiskContent, SimulatedMachine } from './simulated-machine.ts'

const runtime = text('runtime', 3_000_000)
const library = noise('library', 500_000)
const kernel = noise('kernel', 1_500_000)

/** A kernel image: of it only the end differs. */
export function ukiOf(counter: number): Uint8Array {
  const bytes = new Uint8Array(Math.ceil((kernel.length + 20_000) / 4096) * 4096)
  bytes.set(kernel)
  bytes.set(noise(`root hash ${counter}`, 3000), bytes.length - 8000)
  return bytes
}

const filesOf = (page: string): Record<string, Uint8Array> => ({
  '/bin/bun': runtime,
  '/lib/libc.so': library,
  '/srv/page.js': new TextEncoder().encode(page.padEnd(60_000, ' ')),
})

/** The release that runs. */
export const one: SampleRelease = await sampleRelease(1, filesOf('one'), ukiOf(1))
/** The release that comes: a line of a page, and the root's hash in the kernel image, are others. */
export const two: SampleRelease = await sampleRelease(2, filesOf('two'), ukiOf(2))

const partitionBytes = 6 * 1024 * 1024
/** The boot entry of the slot that runs. */
export const runningEntry = 'soloa+3-0.efi'
/** The boot entry that an installation makes. */
export const newEntry = 'solob+3-0.efi'

/** A disk whose free slot has a release, or nothing. */
export function diskWith(other?: SampleRelease): DiskContent {
  const root = new Uint8Array(partitionBytes)
  const files = new Map([[runningEntry, one.uki]])
  if (other !== undefined) {
    root.set(other.root)
    files.set('solob+2-1.efi', other.uki)
  }
  return { root, files }
}

/** A root partition with a release. */
export function partitionOf({ root }: SampleRelease): Uint8Array {
  const bytes = new Uint8Array(partitionBytes)
  bytes.set(root)
  return bytes
}

/** What is installed on what. */
export interface Run {
  readonly release: SampleRelease
  readonly machine: SimulatedMachine
  readonly source?: BlobSource
  /** The root that runs, of which blocks may be copied. */
  readonly running?: Uint8Array
  readonly signal?: AbortSignal
}

/** Installs. */
export async function install({ release, machine, source, running, signal }: Run): Promise<Installed> {
  return await installRelease({
    release: release.release,
    source: source ?? new MemorySource(release.blobs),
    slot: 'solo-b',
    target: machine.target,
    donors: running === undefined ? [] : [bytesAccess(running)],
    boot: machine.boot,
    stallTimeoutMs: 200,
    ...(signal === undefined ? {} : { signal }),
  })
}

/** Expects the release in the free slot, and the other slot as it was. */
export function expectInstalled(machine: SimulatedMachine, release: SampleRelease): void {
  const { root, files } = machine.content
  expect(Buffer.compare(root.subarray(0, release.root.length), release.root)).toBe(0)
  expect([...files.keys()].toSorted()).toEqual([runningEntry, newEntry])
  expect(Buffer.compare(files.get(newEntry) ?? new Uint8Array(), release.uki)).toBe(0)
  expect(Buffer.compare(files.get(runningEntry) ?? new Uint8Array(), one.uki)).toBe(0)
}

/** Numbers that look like chance, from a seed. @see https://en.wikipedia.org/wiki/Xorshift */
export function random(seed: number): () => number {
  let state = seed
  return () => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) / 2 ** 32
  }
}
