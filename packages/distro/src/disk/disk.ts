// The disk image: a boot partition with the loader and one slot's kernel, two roots of which the second is still
// empty, and a partition for data that the first boot formats.
import { copyFile, stat, writeFile } from 'node:fs/promises'
import { writeFat } from '@pkg/image/fat'
import { hostFile } from '@pkg/image/file-source'
import { gptDisk, partitionTypes } from '@pkg/image/gpt'
import { FileTree } from '@pkg/image/tree'
import type { UkiImage } from '@pkg/image/uki'
import { freshEntryName, NEVER_FORMATTED } from '@pkg/init/disk-marks'
import type { Assembly, FormatOutput } from '../build/assembly.ts'
import { compressedSizeBytes, CompressionMeter } from '../build/compressed-size.ts'
import { DATA_PARTITION } from '../build/plan.ts'
import { mergedTree } from '../build/tree.ts'
import { makeUki } from '../build/uki.ts'
import { Origins } from '../sbom/origins.ts'
import type { ImagePart } from '../sbom/spdx.ts'
import { diskGuid, partitionGuid } from './guids.ts'
import { stage1Initramfs } from './initramfs.ts'
import { type BootFiles, provideBootFiles } from './provide.ts'
import { sealRoot, type SealedRoot } from './root.ts'
import { type PartitionSizes, partitionSizes } from './sizes.ts'
import { writeSparse } from './sparse-file.ts'

/** The tables and the alignment at both ends. */
const ENDS_BYTES = 2 * 1024 * 1024

/** The slot that the build fills. */
const FIRST_SLOT = 'solo-a'

/**
 * No menu and no editor: nobody stands there, and whoever does shall not change the command line.
 *
 * @see https://www.freedesktop.org/software/systemd/man/latest/loader.conf.html
 */
const LOADER_CONF = 'timeout 0\neditor no\nauto-firmware no\n'

/** What of a disk is written: beside it the kernel and the small initramfs, to boot it without firmware. */
export async function diskOutput(assembly: Assembly): Promise<FormatOutput> {
  const { config, kernel, architecture, archive, cache, mtimeSeconds } = assembly
  const rootTree = mergedTree([assembly.tree, assembly.runtime], mtimeSeconds)
  const root = await sealRoot(rootTree, config.name)
  const { bytes: initramfs, part: initramfsPart } = await stage1Initramfs(assembly, root)
  const uki = await makeUki(assembly, initramfs)
  const boot = await provideBootFiles(archive, cache, architecture)
  const esp = await espPart(assembly, uki, boot)
  const sizes = partitionSizes(config.disk ?? {}, {
    uki: uki.sizeBytes,
    loader: (await stat(boot.loader)).size,
    root: root.sizeBytes,
  })
  const layout = layoutOf(assembly, sizes)
  const meter = new CompressionMeter(cache, root.nameOfPiece)
  let diskUsedBytes = 0
  const places = layout.partitions.map(({ name, startBytes, sizeBytes }) => ({ name, startBytes, sizeBytes }))
  return {
    files: {
      kernel: (path) => copyFile(kernel.image, path),
      'initramfs.img': (path) => writeFile(path, initramfs),
      async 'disk.img'(path) {
        diskUsedBytes = await writeDisk(path, layout, { root, meter, esp: esp.tree, sizes })
      },
    },
    parts: [{ name: 'root', tree: rootTree, origins: assembly.origins }, initramfsPart, esp],
    unpackedBytes: initramfs.length,
    sizes: async () => ({
      ...{ rootBytes: root.sizeBytes, ukiBytes: uki.sizeBytes, diskUsedBytes },
      payloadBytes: (await meter.finish()) + (await compressedSizeBytes(uki, cache)),
    }),
    disk: {
      file: 'disk.img',
      sizeBytes: layout.sizeBytes,
      partitions: places,
      root: { imageId: root.imageId, rootHash: root.verity.rootHash, sizeBytes: root.sizeBytes },
    },
  }
}

type Layout = ReturnType<typeof gptDisk>

function layoutOf({ config, architecture }: Assembly, sizes: PartitionSizes): Layout {
  const rootType = architecture === 'x86_64' ? partitionTypes.rootX86_64 : partitionTypes.rootArm64
  const partitions = [
    { name: 'esp', type: partitionTypes.esp, sizeBytes: sizes.esp },
    { name: 'root-a', type: rootType, sizeBytes: sizes.root },
    { name: 'root-b', type: rootType, sizeBytes: sizes.root },
    { name: DATA_PARTITION, type: partitionTypes.var, sizeBytes: sizes.data },
  ]
  return gptDisk({
    sizeBytes: partitions.reduce((sum, { sizeBytes }) => sum + sizeBytes, ENDS_BYTES),
    diskGuid: diskGuid(config.name),
    partitions: partitions.map(({ name, type, sizeBytes }) => {
      return { name, type, sizeBytes, guid: partitionGuid(config.name, name) }
    }),
  })
}

interface Parts {
  readonly root: SealedRoot
  /** Measures the root as it is written. */
  readonly meter: CompressionMeter
  readonly esp: FileTree
  readonly sizes: PartitionSizes
}

async function writeDisk(path: string, layout: Layout, parts: Parts): Promise<number> {
  const { root, meter, sizes } = parts
  const esp = writeFat(parts.esp, { sizeBytes: sizes.esp, volumeLabel: 'ESP' })
  const start = (name: string): number => {
    const partition = layout.partitions.find((each) => each.name === name)
    if (partition === undefined) throw new Error(`the layout has no partition ${name}`)
    return partition.startBytes
  }
  return await writeSparse(path, layout.sizeBytes, [
    { offsetBytes: 0, bytes: layout.primary },
    { offsetBytes: start('esp'), bytes: esp },
    { offsetBytes: start('root-a'), bytes: measured(root.open(), meter) },
    { offsetBytes: start(DATA_PARTITION), bytes: new TextEncoder().encode(NEVER_FORMATTED) },
    { offsetBytes: layout.backupOffsetBytes, bytes: layout.backup },
  ])
}

async function* measured(
  chunks: AsyncIterable<Uint8Array>,
  meter: CompressionMeter,
): AsyncGenerator<Uint8Array, void, undefined> {
  for await (const chunk of chunks) {
    await meter.update(chunk)
    yield chunk
  }
}

async function espPart(assembly: Assembly, uki: UkiImage, boot: BootFiles): Promise<ImagePart> {
  const { mtimeSeconds, sources } = assembly
  const file = { type: 'file', mtimeSeconds } as const
  const [tree, origins] = [new FileTree(), new Origins()]
  tree.add({ ...file, path: `/EFI/BOOT/${boot.removableName}`, content: await hostFile(boot.loader) })
  const systemdBoot = sources.taken('boot loader')
  origins.claim(tree, systemdBoot)
  // The release counter's: a power cut while PID 1 made it would leave a folder without clusters, which none can mend.
  tree.add({ type: 'directory', path: '/EFI/solo', mtimeSeconds })
  tree.add({ ...file, path: '/loader/loader.conf', content: new TextEncoder().encode(LOADER_CONF) })
  origins.claim(tree, [sources.solo])
  tree.add({ ...file, path: `/EFI/Linux/${freshEntryName(FIRST_SLOT)}`, content: uki })
  origins.claim(tree, [...sources.kernel, ...systemdBoot, sources.solo, sources.appliance])
  return { name: 'boot partition', tree, origins }
}
