/** systemd's EFI stubs for both processors, out of Debian's package `systemd-boot-efi`. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { openArchive, providePackage } from '@pkg/vm/archive'
import { cacheFolder } from '@pkg/vm/host'

/** The stub for a processor; fetched through apt at the first call, later from the cache folder. */
export async function stub(architecture: 'x86-64' | 'aarch64'): Promise<Uint8Array> {
  const archive = await openArchive({ architecture: architecture === 'x86-64' ? 'x86_64' : 'aarch64' })
  const folder = await providePackage(archive, cacheFolder(), {
    role: 'efi stub',
    name: 'systemd-boot-efi',
    layoutVersion: 1,
    place: (path) => (/\/linux\w+\.efi\.stub$/.test(path) ? path.split('/').at(-1) : undefined),
  })
  const name = architecture === 'x86-64' ? 'linuxx64.efi.stub' : 'linuxaa64.efi.stub'
  // A Buffer's slice() would not be a copy.
  return new Uint8Array(readFileSync(join(folder, name)))
}
