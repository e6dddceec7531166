// Releases of a real appliance, for the judge and for the machines that are recorded and booted.
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { fileAccess } from '@pkg/image/file-access'
import { readFat } from '@pkg/image/fat'
import { readGpt } from '@pkg/image/gpt'
import { buildAppliance, type BuildResult } from '../../src/build.ts'
import type { ApplianceConfig } from '../../src/config.ts'
import { fixture, writeProject } from '../support/project.ts'
import type { JudgeOptions, KnownRelease } from './judge.ts'
import { digestOf, verityTableOf } from './kernel-images.ts'

/** A release that was built. */
export interface BuiltRelease {
  readonly build: BuildResult
  readonly known: KnownRelease
  /** The kernel image. */
  readonly uki: Uint8Array
  /** SHA-256 of the loader's files, by path. */
  readonly loaderFiles: ReadonlyMap<string, string>
}

/**
 * The appliance: one service, which keeps files; and the device's agent, which takes releases that are signed by `key`.
 *
 * @param key - a public key, as a .pub file has it
 */
export function updatableConfig(counter: number, key: string): ApplianceConfig {
  const keys = [key]
  const updates = { release: { keys }, gate: { stableMs: 3000 } }
  return keeperConfig(counter, { agent: { keys }, updates })
}

/** The appliance without an agent. */
export function keeperConfig(counter: number, changes: Partial<ApplianceConfig> = {}): ApplianceConfig {
  return {
    name: 'keeper',
    version: `${counter}.0`,
    release: counter,
    services: [{ name: 'keeper', entry: fixture('appliance/keeper.ts') }],
    folders: [{ path: '/var/lib/keeper', user: 'keeper' }],
    disk: { dataMiB: 16 },
    ...changes,
  }
}

/** What the service `keeper` writes to its file `number`. */
export function keptContent(number: number): string {
  return `user file ${number}\n`.repeat(1 + ((number * 397) % 900))
}

/** Builds a release as a disk in a folder of its own below `folder`. */
export async function buildRelease(folder: string, config: ApplianceConfig): Promise<BuiltRelease> {
  const place = join(folder, `release-${config.release}`)
  mkdirSync(place, { recursive: true })
  const build = await buildAppliance(writeProject(place, config), { format: 'disk' })
  if (build.disk === undefined) throw new Error('the build made no disk')
  return { build, ...(await releaseOn(build.disk, config.version ?? '', config.release ?? 1)) }
}

/** The release in the one slot of a new disk. */
export async function releaseOn(
  path: string,
  version: string,
  counter: number,
): Promise<Omit<BuiltRelease, 'build'>> {
  await using disk = await fileAccess(path)
  const esp = (await readGpt(disk)).partitions.find(({ name }) => name === 'esp')
  if (esp === undefined) throw new Error(`${path} has no boot partition`)
  const [start, sizeBytes] = [esp.firstLba * 512, (esp.lastLba + 1 - esp.firstLba) * 512]
  const volume = await readFat({
    sizeBytes,
    read: (offset, length) => disk.read(start + offset, Math.min(length, sizeBytes - offset)),
  })
  const [entry] = await volume.list('/EFI/Linux')
  if (entry === undefined) throw new Error(`${path} has no kernel image`)
  const uki = await volume.read(entry)
  const loaderFiles = new Map<string, string>()
  for await (const { path: file, type } of volume.walk())
    if (type === 'file' && file !== entry.path) loaderFiles.set(file, digestOf(await volume.read(file)))
  return {
    known: { version, counter, ukiDigest: digestOf(uki), verity: await verityTableOf(uki) },
    uki,
    loaderFiles,
  }
}

/** What the judge has to know of a disk that was built with the first of these releases. */
export function judgeOptions(
  releases: readonly [Omit<BuiltRelease, 'build'>, ...Omit<BuiltRelease, 'build'>[]],
): JudgeOptions {
  return { releases: releases.map(({ known }) => known), loaderFiles: releases[0].loaderFiles }
}
