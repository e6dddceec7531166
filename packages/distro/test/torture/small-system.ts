// A system that is small enough to be judged a thousand times: releases whose kernel is no more than a loader's stub
// and noise and whose root has some megabytes, on a disk as a build lays it out.
import { randomBytes } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { writeCpio } from '@pkg/image/cpio'
import { writeFat } from '@pkg/image/fat'
import { gptDisk, partitionTypes } from '@pkg/image/gpt'
import { namedGuid } from '@pkg/image/guid'
import { FileTree } from '@pkg/image/tree'
import { prepareUki } from '@pkg/image/uki'
import { freshEntryName, NEVER_FORMATTED } from '@pkg/init/disk-marks'
import { type ReleaseContent, writeReleaseBlobs } from '@pkg/update/write-release'
import { openArchive } from '@pkg/vm/archive'
import { cacheFolder } from '@pkg/vm/host'
import { provideBootFiles } from '../../src/disk/provide.ts'
import { stage1, stage1Elf } from '../../src/stage1.ts'
import { sealedRoot } from '../support/sealed-root.ts'
import type { JudgeOptions, KnownRelease } from './judge.ts'
import { digestOf, verityTableOf } from './kernel-images.ts'

/** A release: its bytes, and what the judge has to know of it. */
export interface SmallRelease {
  readonly known: KnownRelease
  readonly uki: Uint8Array
  /** Image and hash tree: what the partition gets. */
  readonly root: Uint8Array
  /** What a layout is written of. */
  readonly content: ReleaseContent
}

/** Large enough that the kernel writes them in several pieces, of which a power cut may leave the first and the last. */
const ROOT_FILE_BYTES = 4_000_000
const KERNEL_BYTES = 3_000_000

/** A release of the appliance `small`. */
export async function smallRelease(counter: number): Promise<SmallRelease> {
  const archive = await openArchive({ architecture: 'x86_64' })
  const { stub } = await provideBootFiles(archive, cacheFolder(), 'x86_64')
  const stubBytes = new Uint8Array(await readFile(stub))
  const root = await sealedRoot({
    '/large': randomBytes(ROOT_FILE_BYTES),
    '/version': Buffer.from(`${counter}\n`),
  })
  const program = stage1({
    modules: [],
    rootImageId: root.imageId,
    verity: root.verity,
    init: ['/bin/bun'],
    environment: {},
  })
  const initramfs = new FileTree().add({
    ...{ path: '/init', type: 'file', mode: 0o755 },
    content: stage1Elf(program, 'x86_64'),
  })
  const image = await prepareUki({
    stub: stubBytes,
    // The stub is an EFI program, as kernels are.
    linux: Buffer.concat([stubBytes, randomBytes(KERNEL_BYTES)]),
    initrd: Buffer.concat(await Array.fromAsync(writeCpio(initramfs))),
    cmdline: 'gpt',
    osRelease: `ID=solo\nIMAGE_ID=small\nIMAGE_VERSION=${counter}\nPRETTY_NAME="Solo (small ${counter})"\n`,
  })
  const uki = Buffer.concat(await Array.fromAsync(image.open()))
  const known = {
    version: String(counter),
    counter,
    ukiDigest: digestOf(uki),
    verity: await verityTableOf(uki),
  }
  const content: ReleaseContent = {
    ...{ appliance: 'small', board: 'generic', architecture: 'x86_64', version: known.version, counter },
    createdSeconds: 1_800_000_000,
    root: {
      open: () => [root.bytes],
      dataBlocks: root.verity.dataBlocks,
      imageId: root.imageId,
      salt: Buffer.from(root.verity.salt, 'hex'),
    },
    uki: { open: () => [uki] },
    sbom: { open: () => [new TextEncoder().encode('{"spdxVersion":"SPDX-2.3"}\n')] },
  }
  return { known, uki, root: root.bytes, content }
}

/**
 * Writes a release as a layout, with the text of its manifest beside it (nobody here asks who signed it), and its root
 * and kernel image as they are.
 */
export async function writeSmallRelease(folder: string, { content, root, uki }: SmallRelease): Promise<void> {
  const { manifest } = await writeReleaseBlobs(folder, content, { level: 1 })
  await writeFile(join(folder, 'manifest.json'), manifest)
  await writeFile(join(folder, 'root.img'), root)
  await writeFile(join(folder, 'uki.efi'), uki)
}

/** A disk with partitions as a build makes them. */
export interface SmallDisk {
  readonly bytes: Uint8Array
  readonly partitions: Readonly<Record<'esp' | 'root-a' | 'root-b' | 'data', Place>>
}

/** Where a partition lies, in bytes. */
export interface Place {
  readonly startBytes: number
  readonly sizeBytes: number
}

const MiB = 1024 ** 2
const DISK_BYTES = 30 * MiB
const LOADER = new TextEncoder().encode('no loader, but as good as one here')
const LOADER_PATH = '/EFI/BOOT/BOOTX64.EFI'

/** What the judge knows of a system with these releases. */
export function judgeOptionsOf(releases: readonly SmallRelease[]): JudgeOptions {
  return {
    releases: releases.map(({ known }) => known),
    loaderFiles: new Map([[LOADER_PATH, digestOf(LOADER)]]),
  }
}

/** What a slot of a new disk has. */
export interface SlotContent {
  readonly release: SmallRelease
  /** Name of its entry. Default: with all tries. */
  readonly entry?: string
}

/** A disk with these slots filled. */
export async function smallDisk(slots: {
  readonly a?: SlotContent
  readonly b?: SlotContent
}): Promise<SmallDisk> {
  const sizes = { esp: 16 * MiB, 'root-a': 5 * MiB, 'root-b': 5 * MiB, data: 2 * MiB }
  const types = { esp: 'esp', 'root-a': 'rootX86_64', 'root-b': 'rootX86_64', data: 'var' } as const
  const names = ['esp', 'root-a', 'root-b', 'data'] as const
  const disk = gptDisk({
    sizeBytes: DISK_BYTES,
    diskGuid: namedGuid('small'),
    partitions: names.map((name) => {
      return { name, type: partitionTypes[types[name]], guid: namedGuid(name), sizeBytes: sizes[name] }
    }),
  })
  const bytes = new Uint8Array(DISK_BYTES)
  bytes.set(disk.primary)
  bytes.set(disk.backup, disk.backupOffsetBytes)
  const place = (name: string): Place => {
    const found = disk.partitions.find((partition) => partition.name === name)
    if (found === undefined) throw new Error(`no partition ${name}`)
    return found
  }
  const tree = new FileTree().add({ path: LOADER_PATH, type: 'file', content: LOADER })
  tree.add({ path: '/EFI/Linux', type: 'directory' })
  for (const [letter, slot] of Object.entries(slots)) {
    const path = `/EFI/Linux/${slot.entry ?? freshEntryName(`solo-${letter}`)}`
    tree.add({ path, type: 'file', content: slot.release.uki })
    bytes.set(slot.release.root, place(`root-${letter}`).startBytes)
  }
  let at = place('esp').startBytes
  for await (const chunk of writeFat(tree, { sizeBytes: sizes.esp, volumeLabel: 'ESP' })) {
    bytes.set(chunk, at)
    at += chunk.length
  }
  bytes.set(new TextEncoder().encode(NEVER_FORMATTED), place('data').startBytes)
  return {
    bytes,
    partitions: {
      esp: place('esp'),
      'root-a': place('root-a'),
      'root-b': place('root-b'),
      data: place('data'),
    },
  }
}
