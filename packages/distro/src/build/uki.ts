// The whole appliance in one file that UEFI firmware starts: kernel, command line and the initramfs.
import { createWriteStream } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { pipeline } from 'node:stream/promises'
import { hostFile } from '@pkg/image/file-source'
import { FileTree } from '@pkg/image/tree'
import { prepareUki, type UkiImage } from '@pkg/image/uki'
import { provideBootFiles } from '../disk/provide.ts'
import { Origins } from '../sbom/origins.ts'
import type { ImagePart } from '../sbom/spdx.ts'
import type { Assembly, FormatOutput } from './assembly.ts'
import { initramfsOutput } from './initramfs.ts'

/** What of a UKI is written: beside it kernel and initramfs, as `solo run` boots them without firmware. */
export async function ukiOutput(assembly: Assembly): Promise<FormatOutput> {
  const { files, unpackedBytes, parts } = await initramfsOutput(assembly)
  let initramfsPath = ''
  return {
    files: {
      ...files,
      async 'initramfs.img'(path) {
        initramfsPath = path
        await files['initramfs.img']?.(path)
      },
      async 'appliance.efi'(path) {
        const uki = await makeUki(assembly, await readFile(initramfsPath))
        await pipeline(uki.open(), createWriteStream(path))
      },
    },
    parts: [...parts, await stubPart(assembly)],
    unpackedBytes,
  }
}

/** What the file has beside kernel and initramfs. */
async function stubPart({ archive, cache, architecture, sources }: Assembly): Promise<ImagePart> {
  const { stub } = await provideBootFiles(archive, cache, architecture)
  const tree = new FileTree().add({ path: '/stub', type: 'file', content: await hostFile(stub) })
  const origins = new Origins()
  origins.claim(tree, sources.taken('boot loader'))
  return { name: 'uki', tree, origins }
}

/** A unified kernel image of an appliance. */
export async function makeUki(assembly: Assembly, initramfs: Uint8Array): Promise<UkiImage> {
  const { config, kernel, archive, cache, architecture, commandLine } = assembly
  const { stub } = await provideBootFiles(archive, cache, architecture)
  return await prepareUki({
    stub: await hostFile(stub),
    linux: await hostFile(kernel.image),
    initrd: initramfs,
    cmdline: commandLine.join(' '),
    osRelease: osRelease(config.name, config.release ?? 1, config.version),
    uname: kernel.release,
  })
}

/**
 * What the loader sorts entries by: first `IMAGE_ID`, the same for both slots, then the release's number, the higher
 * the earlier. `VERSION_ID` is for the updater, which tells what a slot holds.
 */
function osRelease(name: string, release: number, version: string | undefined): string {
  const title = `Solo (${[name, version ?? release].join(' ')})`
  const ids = ['ID=solo', `IMAGE_ID=${name}`, `IMAGE_VERSION=${release}`, `VERSION_ID=${version ?? release}`]
  return [...ids, `PRETTY_NAME="${title}"`, ''].join('\n')
}
