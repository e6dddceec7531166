// A folder that stands for a boot partition, new for each test, with entries of releases 1.1, 1.2 and 1.3.
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { rename } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeAll, beforeEach } from 'vitest'
import { parseEntryName } from '../../src/firmware/entry-name.ts'
import { slotsOf, type Slots } from '../../src/storage/slots.ts'
import { ukiOf } from './uki.ts'

/** The folder. */
export interface BootFolder {
  /** Where it is, for the test that runs. */
  readonly root: string
  /** Kernel images by the counters of their releases. */
  readonly kernels: ReadonlyMap<number, Uint8Array>
  /** It, as what a partition is to PID 1. */
  readonly partition: Parameters<typeof slotsOf>[1]
  /** Puts entries on it, each with the counter of the release that it is of. */
  readonly install: (entries: Readonly<Record<string, number>>) => void
  /** Names of the entries. */
  readonly files: () => string[]
  /** What PID 1 knows of it when `file` was booted by a loader that has the slots of `listed`. Default: it does not say. */
  readonly slots: (file: string, listed?: readonly string[]) => Promise<Slots>
}

/** The slot that an entry's name says. */
export function slotIn(file: string): string {
  return parseEntryName(file)?.slot ?? ''
}

/** Makes one for each test of the file that calls this. */
export function bootFolder(): BootFolder {
  let root = ''
  const kernels = new Map<number, Uint8Array>()
  beforeAll(async () => {
    for (const counter of [1, 2, 3])
      kernels.set(counter, await ukiOf(`VERSION_ID="1.${counter}"`, `IMAGE_VERSION=${counter}`))
  })
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'solo-trial-'))
    mkdirSync(join(root, 'EFI/Linux'), { recursive: true })
    mkdirSync(join(root, 'var'))
  })
  afterEach(() => rmSync(root, { recursive: true }))
  const partition: BootFolder['partition'] = {
    use: async (act) => await act(root),
    rename: async (path, name) => await rename(join(root, path), join(root, path, '..', name)),
  }
  return {
    get root() {
      return root
    },
    kernels,
    partition,
    install(entries) {
      for (const [file, counter] of Object.entries(entries))
        writeFileSync(join(root, 'EFI/Linux', file), kernels.get(counter) ?? '')
    },
    files: () => readdirSync(join(root, 'EFI/Linux')).toSorted(),
    slots: async (file, listed) => {
      const booted = { folder: '/EFI/Linux', file, slot: slotIn(file) }
      return await slotsOf(root, partition, booted, listed === undefined ? null : new Set(listed))
    },
  }
}
