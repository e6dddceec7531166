// An initramfs that holds everything, beside its kernel: for virtual machines that keep nothing.
import { copyFile, writeFile } from 'node:fs/promises'
import { hostFile } from '@pkg/image/file-source'
import { FileTree } from '@pkg/image/tree'
import { Origins } from '../sbom/origins.ts'
import type { ImagePart } from '../sbom/spdx.ts'
import { cachedSegment, segment } from './compress.ts'
import type { Assembly, FormatOutput } from './assembly.ts'
import { mergedTree, withTime } from './tree.ts'

/** What of an initramfs is written, and how it is described. */
export async function initramfsOutput(assembly: Assembly): Promise<FormatOutput> {
  const { tree, runtime, kernel, cache, mtimeSeconds } = assembly
  const own = await segment(withTime(tree, mtimeSeconds))
  const shared = await cachedSegment(withTime(runtime, mtimeSeconds), cache)
  return {
    files: {
      kernel: (path) => copyFile(kernel.image, path),
      'initramfs.img': (path) => writeFile(path, Buffer.concat([own.bytes, shared.bytes])),
    },
    parts: await partsOf(assembly),
    unpackedBytes: own.unpackedBytes + shared.unpackedBytes,
  }
}

async function partsOf({
  tree,
  runtime,
  origins,
  sources,
  kernel,
  mtimeSeconds,
}: Assembly): Promise<ImagePart[]> {
  const boot = new FileTree().add({ path: '/kernel', type: 'file', content: await hostFile(kernel.image) })
  const bootOrigins = new Origins()
  bootOrigins.claim(boot, sources.kernel)
  return [
    { name: 'initramfs', tree: mergedTree([tree, runtime], mtimeSeconds), origins },
    { name: 'boot', tree: boot, origins: bootOrigins },
  ]
}
