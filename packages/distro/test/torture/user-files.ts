// What became of the data partition after a power cut: preened by e2fsck as PID 1 does it, and read by debugfs. All
// that a program had been told is safe must be there.
import { execFile } from 'node:child_process'
import {
  closeSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { NEVER_FORMATTED } from '@pkg/init/disk-marks'
import type { DiskView } from './disk-view.ts'

const run = promisify(execFile)

/** A file that somebody was told is safe. */
export interface KeptFile {
  /** Path on the data partition, without a slash before it. */
  readonly path: string
  /** What it must have. */
  readonly content: string
}

/** What was found. */
export interface DataVerdict {
  /** Paths of files that should be there, whole. */
  readonly lost: readonly string[]
  /** Why the machine could not use the partition; undefined when it can. */
  readonly problem: string | undefined
}

/** How much is copied at once. */
const PIECE = 1 << 20
const ZEROS = new Uint8Array(PIECE)

/** Offset of ext4's magic number 0xef53 (fs/ext4/ext4.h, `struct ext4_super_block`). */
const MAGIC_OFFSET = 1024 + 56

/** Judges data partitions of one disk's states. */
export class DataJudge {
  readonly #folder: string
  readonly #known = new Map<string, Promise<ReadonlyMap<string, string> | string>>()
  /** Pieces, by place and hash, in which there is nothing. */
  readonly #zeros = new Set<string>()
  #count = 0

  /** @param folder - for temporary files */
  constructor(folder: string) {
    this.#folder = folder
  }

  /** Judges a partition of which is known what it must hold. */
  async judge(partition: DiskView, kept: readonly KeptFile[]): Promise<DataVerdict> {
    const key = partition.hashOf(0, partition.sizeBytes)
    const files = this.#known.get(key) ?? this.#filesOf(partition)
    this.#known.set(key, files)
    const found = await files
    if (typeof found === 'string') return { lost: kept.map(({ path }) => path), problem: found }
    const lost = kept.filter(({ path, content }) => found.get(path) !== content)
    return { lost: lost.map(({ path }) => path), problem: undefined }
  }

  /** How many contents of the partition have been looked at. */
  get distinct(): number {
    return this.#known.size
  }

  /** Every file of the partition; in words, why PID 1 could not use it. */
  async #filesOf(partition: DiskView): Promise<ReadonlyMap<string, string> | string> {
    const head = partition.read(0, MAGIC_OFFSET + 2)
    const isNew = Buffer.from(head).toString('latin1').startsWith(NEVER_FORMATTED)
    // PID 1 formats it, and again when that was cut off.
    if (isNew) return new Map()
    if (head[MAGIC_OFFSET] !== 0x53 || head[MAGIC_OFFSET + 1] !== 0xef)
      return 'it has neither the mark of a new image nor ext4'
    this.#count += 1
    const image = join(this.#folder, `data-${this.#count}.img`)
    const files = join(this.#folder, `data-${this.#count}`)
    try {
      this.#copyTo(image, partition)
      const preened = await statusOf('e2fsck', '-p', image)
      if (preened > 1) return `e2fsck -p ends with ${preened}: it needs a hand`
      if ((await statusOf('e2fsck', '-fn', image)) !== 0) return 'e2fsck -fn finds errors after e2fsck -p'
      mkdirSync(files)
      await run('debugfs', ['-R', `rdump / ${files}`, image])
      return readAll(files)
    } finally {
      rmSync(image, { force: true })
      rmSync(files, { force: true, recursive: true })
    }
  }

  /** Writes a partition to a sparse file. Most of it is zeros, in most states the same: that is read once. */
  #copyTo(path: string, partition: DiskView): void {
    const fd = openSync(path, 'w')
    try {
      ftruncateSync(fd, partition.sizeBytes)
      for (let at = 0; at < partition.sizeBytes; at += PIECE) {
        const length = Math.min(PIECE, partition.sizeBytes - at)
        const key = `${at}/${partition.hashOf(at, length)}`
        if (this.#zeros.has(key)) continue
        const piece = partition.read(at, length)
        if (Buffer.compare(piece, ZEROS.subarray(0, length)) === 0) this.#zeros.add(key)
        else writeSync(fd, piece, 0, length, at)
      }
    } finally {
      closeSync(fd)
    }
  }
}

async function statusOf(program: string, ...args: string[]): Promise<number> {
  return await run(program, args).then(
    () => 0,
    (error: { code?: unknown }) => {
      if (typeof error.code !== 'number') throw error
      return error.code
    },
  )
}

function readAll(folder: string): ReadonlyMap<string, string> {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) =>
    entry.isFile(),
  )
  return new Map(
    files.map(({ parentPath, name }) => {
      const path = join(parentPath, name)
      return [path.slice(folder.length + 1), readFileSync(path, 'utf8')]
    }),
  )
}
