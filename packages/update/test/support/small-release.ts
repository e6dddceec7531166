// A whole release that is small: an EROFS root under dm-verity and a kernel image that names it, made from bytes that
// look like chance.
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { prepareErofs } from '@pkg/image/erofs'
import { FileTree } from '@pkg/image/tree'
import { prepareUki } from '@pkg/image/uki'
import { VerityHasher } from '@pkg/image/verity'
import { openArchive, providePackage } from '@pkg/vm/archive'
import { cacheFolder } from '@pkg/vm/host'
import type { ReleaseContent } from '../../src/write-release.ts'
import { noise } from './sample-release.ts'

const salt = Uint8Array.from({ length: 32 }, (_, index) => index)

/** systemd's stub, which stands for a kernel too: it is a program for the same processor. */
export async function efiStub(): Promise<Uint8Array> {
  const folder = await providePackage(await openArchive({ architecture: 'x86_64' }), cacheFolder(), {
    role: 'efi stub',
    name: 'systemd-boot-efi',
    layoutVersion: 1,
    place: (path) => (/\/linux\w+\.efi\.stub$/.test(path) ? path.split('/').at(-1) : undefined),
  })
  return new Uint8Array(await readFile(join(folder, 'linuxx64.efi.stub')))
}

/** What a release is made of; `seed` decides on the root's files. */
export async function smallContent(
  stub: Uint8Array,
  seed: string,
  changes: Partial<ReleaseContent> = {},
): Promise<ReleaseContent> {
  const tree = new FileTree()
    .add({ path: '/bin/bun', type: 'file', mode: 0o755, content: noise('bun', 3_000_000) })
    .add({ path: '/sbin/init.js', type: 'file', content: noise(seed, 50_000) })
  const image = await prepareErofs(tree)
  const hasher = new VerityHasher({ salt, uuid: image.uuid })
  const root = Buffer.concat(await Array.fromAsync(hasher.append(image.open())))
  const { rootHash, dataBlocks } = hasher.finish()
  const { appliance = 'hello', counter = 2 } = changes
  const uki = await prepareUki({
    stub,
    linux: stub,
    initrd: new TextEncoder().encode(`stage 1 opens ${rootHash}`),
    cmdline: 'quiet',
    osRelease: `ID=solo\nIMAGE_ID=${appliance}\nIMAGE_VERSION=${counter}\n`,
  })
  const sbom = new TextEncoder().encode('{"spdxVersion":"SPDX-2.3"}\n')
  return {
    appliance,
    board: 'generic',
    architecture: 'x86_64',
    version: '2.0',
    counter,
    createdSeconds: 1_800_000_000,
    notes: 'What is new:\n\t- everything',
    root: { open: () => [root], dataBlocks, imageId: image.uuid, salt },
    uki: { open: () => uki.open() },
    sbom: { open: () => [sbom] },
    ...changes,
  }
}
