/** The images in the cache folder: each in a folder of its own that is never changed, the oldest removed in time. */
import { existsSync, statSync, utimesSync } from 'node:fs'
import { readdir, rename, rm, writeFile } from 'node:fs/promises'
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { readTextIfThere } from '../host/files.ts'
import { fillOnce } from '../host/once.ts'

/** Images take no more than this for long; each has a copy of Bun, 107 MB. */
const sizeBytesMax = 4 * 1024 ** 3

/** One that was asked for within this time may be in use, and stays: guests of tests live for minutes. */
const inUseMs = 24 * 60 * 60 * 1000

/** When images are removed. */
export interface Limits {
  /** Images may take this together. */
  readonly sizeBytesMax: number
  /** One that was asked for within this time, in milliseconds, stays in any case. */
  readonly inUseMs: number
}

const DEFAULT_LIMITS: Limits = { sizeBytesMax, inUseMs }

/** Where an image's size is written, for {@link prune}. */
const sizeFile = 'size-bytes'

/**
 * The folder of the image `key` in `images`, made by `fill` if it is not there.
 *
 * @param fill - fills the folder that it is given, and returns how many bytes it wrote
 */
export async function keptImage(
  images: string,
  key: string,
  fill: (folder: string) => Promise<number>,
): Promise<string> {
  const folder = join(images, key)
  if (existsSync(folder)) {
    const now = new Date()
    utimesSync(folder, now, now)
    return folder
  }
  await fillOnce(folder, async (scratch) => {
    await writeFile(join(scratch, sizeFile), String(await fill(scratch)))
  })
  await prune(images)
  return folder
}

/** Removes the images that were not asked for for the longest time, until the others fit. */
export async function prune(images: string, limits: Limits = DEFAULT_LIMITS): Promise<void> {
  const names = (await readdir(images)).filter((name) => /^[0-9a-f]{32}$/.test(name))
  const found = []
  for (const name of names) {
    const usedMs = statSync(join(images, name), { throwIfNoEntry: false })?.mtimeMs ?? 0
    const sizeBytes = Number((await readTextIfThere(join(images, name, sizeFile))) ?? 0)
    found.push({ name, usedMs, sizeBytes })
  }
  let totalBytes = found.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
  for (const { name, usedMs, sizeBytes } of found.toSorted((one, other) => one.usedMs - other.usedMs)) {
    if (totalBytes <= limits.sizeBytesMax || Date.now() - usedMs < limits.inUseMs) return
    totalBytes -= sizeBytes
    // First out of sight: nobody is to find half of it.
    const dead = join(images, `.dead-${randomBytes(6).toString('hex')}`)
    await rename(join(images, name), dead).catch(() => undefined)
    await rm(dead, { recursive: true, force: true })
  }
}
