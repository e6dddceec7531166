/**
 * A snapshot on the disk: a folder with the guest's memory, the state of its devices, and a description of the machine
 * that can go on from them. It is there as a whole or not at all.
 */
import { createWriteStream } from 'node:fs'
import { mkdir, open, readFile, rename, rm, type FileHandle } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { VmError } from '../errors.ts'

/** Which machine a snapshot is of. */
export interface SnapshotDescription {
  /** Version of this description: {@link SNAPSHOT_FORMAT}. */
  format: number
  /** QEMU's version: another one may arrange a device's state otherwise. */
  qemu: string
  /** What the guest sees of its machine, as words of QEMU's command line. */
  hardware: readonly string[]
}

/** The version of {@link SnapshotDescription}. */
export const SNAPSHOT_FORMAT = 1

/** The file names in the folder. */
const DESCRIPTION = 'snapshot.json'
const MEMORY = 'memory'
const STATE = 'devices'

/** A snapshot cannot be taken, or cannot be gone on from: it is of another machine or QEMU, or it is damaged. */
export class SnapshotError extends VmError {
  override name = 'SnapshotError'
  /** The snapshot's folder. */
  readonly folder: string

  constructor(folder: string, problem: string, cause?: unknown) {
    super(`snapshot ${folder}: ${problem}`, '', cause)
    this.folder = folder
  }
}

/** The files of a snapshot. */
export interface SnapshotFiles {
  /** The guest's memory, with holes where it is zero. */
  memory: string
  /** The state of CPUs and devices, as QEMU's migration writes it. */
  state: string
}

/** Where a snapshot's files are. */
export function snapshotFiles(folder: string): SnapshotFiles {
  return { memory: resolve(folder, MEMORY), state: resolve(folder, STATE) }
}

/**
 * Reads what a snapshot is of.
 *
 * @throws {@link SnapshotError} there is none, or it is none of ours
 */
export async function readDescription(folder: string): Promise<SnapshotDescription> {
  try {
    const parsed: unknown = JSON.parse(await readFile(join(folder, DESCRIPTION), 'utf8'))
    if (!isDescription(parsed)) throw new Error(`${DESCRIPTION} is not of format ${SNAPSHOT_FORMAT}`)
    return parsed
  } catch (cause) {
    throw new SnapshotError(folder, `cannot be read: ${(cause as Error).message}`, cause)
  }
}

function isDescription(value: unknown): value is SnapshotDescription {
  return typeof value === 'object' && value !== null && 'format' in value && value.format === SNAPSHOT_FORMAT
}

/**
 * Says in what a machine differs from that of a snapshot.
 *
 * @throws {@link SnapshotError} they differ
 */
export function assertSameHardware(folder: string, saved: readonly string[], now: readonly string[]): void {
  const index = Math.max(saved.length, now.length)
  for (let at = 0; at < index; at++) {
    if (saved[at] === now[at]) continue
    const problem = `is of other hardware: it has ${saved[at] ?? 'nothing more'} where this machine has ${now[at] ?? 'nothing more'}`
    throw new SnapshotError(folder, problem)
  }
}

/**
 * Makes the folder: `fill` writes into a temporary one beside it, which then gets the name. A folder of that name
 * that is there already stays: whoever was first has saved the same.
 *
 * @throws whatever `fill` throws; nothing is left then
 */
export async function createFolder(
  folder: string,
  fill: (temporary: string) => Promise<void>,
): Promise<void> {
  const temporary = `${resolve(folder)}.${process.pid}-${crypto.randomUUID()}.tmp`
  await mkdir(dirname(temporary), { recursive: true })
  await mkdir(temporary)
  try {
    await fill(temporary)
    await rename(temporary, folder)
  } catch (error) {
    await rm(temporary, { recursive: true, force: true })
    const code = (error as NodeJS.ErrnoException).code
    if (code !== 'ENOTEMPTY' && code !== 'EEXIST') throw error
  }
}

/** Writes the description: the last file, after the others are on the disk. */
export async function writeDescription(folder: string, description: SnapshotDescription): Promise<void> {
  const file = await open(join(folder, DESCRIPTION), 'wx')
  try {
    await file.writeFile(`${JSON.stringify(description, undefined, 2)}\n`)
    await file.sync()
  } finally {
    await file.close()
  }
}

/** Writes the devices' state as it comes, and waits until it is on the disk. */
export async function writeState(path: string, state: Readable): Promise<void> {
  await pipeline(state, createWriteStream(path, { flags: 'wx', flush: true }))
}

/** How much is copied at a time. */
const CHUNK_BYTES = 4 << 20

/** A page cache's usual read-ahead is far larger; smaller blocks would only make more system calls. */
const BLOCK_BYTES = 65_536

const ZEROS = Buffer.alloc(BLOCK_BYTES)

/** Copies memory of `sizeBytes` from `source` to the new file `destination`, and leaves holes where it is zero. */
export async function copySparse(source: string, destination: string, sizeBytes: number): Promise<void> {
  const from = await open(source, 'r')
  try {
    const to = await open(destination, 'wx')
    try {
      await to.truncate(sizeBytes)
      await copyBlocks(from, to, sizeBytes)
      await to.sync()
    } finally {
      await to.close()
    }
  } finally {
    await from.close()
  }
}

async function copyBlocks(from: FileHandle, to: FileHandle, sizeBytes: number): Promise<void> {
  const chunk = Buffer.alloc(CHUNK_BYTES)
  for (let position = 0; position < sizeBytes;) {
    const { bytesRead } = await from.read(chunk, 0, Math.min(CHUNK_BYTES, sizeBytes - position), position)
    if (bytesRead === 0) throw new Error(`the memory ends after ${position} of ${sizeBytes} bytes`)
    for (const [start, end] of filledRuns(chunk.subarray(0, bytesRead)))
      await to.write(chunk, start, end - start, position + start)
    position += bytesRead
  }
}

/** The stretches of `bytes` that are not zero, in whole blocks. */
function filledRuns(bytes: Buffer): [start: number, end: number][] {
  const runs: [number, number][] = []
  for (let start = 0; start < bytes.length; start += BLOCK_BYTES) {
    const block = bytes.subarray(start, start + BLOCK_BYTES)
    if (block.equals(ZEROS.subarray(0, block.length))) continue
    const last = runs.at(-1)
    if (last?.[1] === start) last[1] = start + block.length
    else runs.push([start, start + block.length])
  }
  return runs
}
