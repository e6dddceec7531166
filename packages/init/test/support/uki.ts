/** Kernel images for tests: systemd's stub, which passes for a kernel too, and an os-release. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { prepareUki } from '@pkg/image/uki'
import { openArchive, providePackage } from '@pkg/vm/archive'
import { cacheFolder } from '@pkg/vm/host'

let stub: Uint8Array | undefined

/** The bytes of a whole image with these lines in its os-release. */
export async function ukiOf(...osRelease: string[]): Promise<Uint8Array> {
  stub ??= await readStub()
  const image = await prepareUki({ stub, linux: stub, osRelease: ['ID=solo', ...osRelease, ''].join('\n') })
  return Buffer.concat(await Array.fromAsync(image.open(), (chunk) => new Uint8Array(chunk)))
}

/** Out of Debian's package; fetched through apt at the first call, later from the cache folder. */
async function readStub(): Promise<Uint8Array> {
  const archive = await openArchive({ architecture: 'x86_64' })
  const folder = await providePackage(archive, cacheFolder(), {
    role: 'efi stub',
    name: 'systemd-boot-efi',
    layoutVersion: 1,
    place: (path) => (/\/linux\w+\.efi\.stub$/.test(path) ? path.split('/').at(-1) : undefined),
  })
  return new Uint8Array(readFileSync(join(folder, 'linuxx64.efi.stub')))
}
