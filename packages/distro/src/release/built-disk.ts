// A finished disk build, read back: what its disk holds is what a release of it holds.
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type ErofsReader, ErofsError, readErofs } from '@pkg/image/erofs'
import { readFat } from '@pkg/image/fat'
import { fileAccess } from '@pkg/image/file-access'
import { type FileSource, hostFile } from '@pkg/image/file-source'
import type { RandomAccess } from '@pkg/image/random-access'
import { readVeritySuperblock } from '@pkg/image/verity'
import { freshEntryName } from '@pkg/init/disk-marks'
import { parseReleaseIdentity, RELEASE_FILE } from '@pkg/init/boot-state'
import type { ReleaseContent } from '@pkg/update/write-release'
import type { DiskManifest, Manifest } from '../build.ts'
import { SoloError } from '../error.ts'

/** The trust document of an image. */
export const TRUST_FILE = '/etc/solo/trust.json'

const blockBytes = 4096

/** A disk build. */
export interface BuiltDisk {
  /** What a release of it holds, without what only the one who releases knows. */
  readonly content: ReleaseContent
  /** The trust document of its image; undefined for an appliance that takes no updates. */
  readonly trust?: string
}

/** A disk build that can be read until it is closed. */
export type OpenedDisk = BuiltDisk & AsyncDisposable

/**
 * Opens the disk of a build. Close it by `await using`.
 *
 * @param folder - the result of `solo build --format disk`
 * @throws SoloError when it is none
 */
export async function openBuiltDisk(folder: string): Promise<OpenedDisk> {
  const manifest = await readManifest(folder)
  const { disk } = manifest
  if (disk === undefined) {
    throw new SoloError(
      `${folder}: is a build of format ${manifest.format}, a release needs one of format disk`,
      { exitStatus: 2 },
    )
  }
  const sbom = await hostFile(join(folder, manifest.sbom.file))
  const access = await fileAccess(join(folder, disk.file))
  try {
    return {
      ...(await readDisk(access, { disk, architecture: manifest.architecture, sbom })),
      [Symbol.asyncDispose]: () => access[Symbol.asyncDispose](),
    }
  } catch (error) {
    await access[Symbol.asyncDispose]()
    throw error
  }
}

async function readManifest(folder: string): Promise<Manifest> {
  const path = join(folder, 'appliance.json')
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (cause) {
    throw new SoloError(`${path}: cannot be read: build the appliance first, with solo build --format disk`, {
      exitStatus: 2,
      cause,
    })
  }
  return JSON.parse(text) as Manifest
}

interface DiskParts {
  readonly disk: DiskManifest
  readonly architecture: Manifest['architecture']
  readonly sbom: FileSource
}

async function readDisk(access: RandomAccess, { disk, architecture, sbom }: DiskParts): Promise<BuiltDisk> {
  const partition = (name: string): { startBytes: number; sizeBytes: number } => {
    const found = disk.partitions.find((each) => each.name === name)
    if (found === undefined) throw new SoloError(`${disk.file}: has no partition ${name}`)
    return found
  }
  const root = part(access, partition('root-a').startBytes, disk.root.sizeBytes)
  const image = await readErofs(root)
  const identity = parseReleaseIdentity(await textOf(image, RELEASE_FILE), RELEASE_FILE)
  const trust = await textOf(image, TRUST_FILE).catch(absent)
  const esp = partition('esp')
  const boot = await readFat(part(access, esp.startBytes, esp.sizeBytes))
  const entry = `/EFI/Linux/${freshEntryName('solo-a')}`
  const { salt } = await readVeritySuperblock(root, image.sizeBytes)
  const { appliance, board, version, counter, created } = identity
  return {
    content: {
      ...{ appliance, board, version, counter },
      architecture,
      createdSeconds: Math.floor(Date.parse(created) / 1000),
      root: {
        open: () => chunks(root),
        dataBlocks: image.sizeBytes / blockBytes,
        imageId: image.uuid,
        salt,
      },
      uki: { open: () => boot.open(entry) },
      sbom: { open: () => sbom.open() },
    },
    ...(trust === undefined ? {} : { trust }),
  }
}

async function textOf(image: ErofsReader, path: string): Promise<string> {
  const file = await image.file(path)
  return Buffer.concat(await Array.fromAsync(file.open())).toString()
}

function absent(error: unknown): undefined {
  if (error instanceof ErofsError && error.code === 'not-found') return undefined
  throw error
}

/** A stretch of a disk. */
function part(access: RandomAccess, startBytes: number, sizeBytes: number): RandomAccess {
  return {
    sizeBytes,
    read: (offset, length) =>
      access.read(startBytes + offset, Math.max(0, Math.min(length, sizeBytes - offset))),
  }
}

async function* chunks(access: RandomAccess): AsyncGenerator<Uint8Array, void, undefined> {
  const chunkBytes = 1024 * 1024
  for (let offset = 0; offset < access.sizeBytes; offset += chunkBytes)
    yield await access.read(offset, chunkBytes)
}
