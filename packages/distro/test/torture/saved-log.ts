// A write log in a folder: `--keep` leaves it there, so that a state that was found can be looked at again.
import {
  closeSync,
  openSync,
  readFileSync,
  readSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { copyFile, mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { ChangeEntry, DiskLog, DiskLogEntry } from '@pkg/vm/nbd'

const ENTRIES = 'log.json'
const DATA = 'log.data'
const BASE = 'base.img'

/** What `log.json` holds. */
interface SavedEntries {
  readonly sizeBytes: number
  readonly entries: readonly DiskLogEntry[]
}

/** Writes a log into a folder: its entries, the data of its writes one after another, and what the disk held before. */
export async function saveLog(log: DiskLog, folder: string): Promise<void> {
  await mkdir(folder, { recursive: true })
  await log.writeBase(join(folder, BASE))
  const saved: SavedEntries = { sizeBytes: log.sizeBytes, entries: log.entries }
  writeFileSync(join(folder, ENTRIES), JSON.stringify(saved))
  const fd = openSync(join(folder, DATA), 'w')
  try {
    for (const entry of log.entries) {
      if (entry.kind !== 'write') continue
      const bytes = new Uint8Array(entry.length)
      log.readData(entry, bytes, 0)
      writeSync(fd, bytes)
    }
  } finally {
    closeSync(fd)
  }
}

/** A log that was saved by {@link saveLog}. */
export class SavedLog implements DiskLog, Disposable {
  readonly sizeBytes: number
  readonly baseBytes: number
  readonly entries: readonly DiskLogEntry[]
  readonly #basePath: string
  readonly #base: number
  readonly #data: number
  readonly #positions = new Map<number, number>()

  constructor(folder: string) {
    const { sizeBytes, entries } = JSON.parse(readFileSync(join(folder, ENTRIES), 'utf8')) as SavedEntries
    this.sizeBytes = sizeBytes
    this.entries = entries
    let position = 0
    for (const entry of entries) {
      if (entry.kind !== 'write') continue
      this.#positions.set(entry.index, position)
      position += entry.length
    }
    this.#basePath = join(folder, BASE)
    this.baseBytes = statSync(this.#basePath).size
    this.#base = openSync(this.#basePath, 'r')
    this.#data = openSync(join(folder, DATA), 'r')
  }

  readBase(target: Uint8Array, offset: number): void {
    fill(this.#base, target, offset)
  }

  async writeBase(path: string): Promise<void> {
    await copyFile(this.#basePath, path)
    truncateSync(path, this.sizeBytes)
  }

  readData(entry: ChangeEntry, target: Uint8Array, position: number): void {
    const start = this.#positions.get(entry.index)
    if (start === undefined) target.fill(0)
    else fill(this.#data, target, start + position)
  }

  [Symbol.dispose](): void {
    for (const fd of [this.#base, this.#data]) closeSync(fd)
  }
}

/** Reads `target` full; behind the file's end there are zeros. */
function fill(fd: number, target: Uint8Array, position: number): void {
  for (let done = 0; done < target.length;) {
    const count = readSync(fd, target, done, target.length - done, position + done)
    if (count === 0) {
      target.fill(0, done)
      return
    }
    done += count
  }
}
