// The programs of a disk that are not ours: systemd's boot loader and stub, and the checker of the data partition.
import { join } from 'node:path'
import { type Archive, providePackage } from '@pkg/vm/archive'
import type { Architecture } from '@pkg/vm/machine'

/** The boot loader and the stub of unified kernel images. */
export interface BootFiles {
  /** Path of systemd-boot. */
  readonly loader: string
  /** Its name in `/EFI/BOOT`, where firmware looks on a disk that it does not know. */
  readonly removableName: string
  /** Path of the program that a unified kernel image begins with. */
  readonly stub: string
}

/** How UEFI and systemd call an architecture. */
const efiNames: Readonly<Record<Architecture, { file: string; removable: string }>> = {
  x86_64: { file: 'x64', removable: 'BOOTX64.EFI' },
  aarch64: { file: 'aa64', removable: 'BOOTAA64.EFI' },
}

/**
 * systemd-boot and its stub, from Debian's package.
 *
 * @throws ProvisionError when it cannot be had
 */
export async function provideBootFiles(
  archive: Archive,
  cache: string,
  architecture: Architecture,
): Promise<BootFiles> {
  const folder = await providePackage(archive, cache, {
    role: 'boot loader',
    name: 'systemd-boot-efi',
    layoutVersion: 1,
    place: (path) => /^usr\/lib\/systemd\/boot\/efi\/([^/]+\.efi(\.stub)?)$/.exec(path)?.[1],
  })
  const { file, removable } = efiNames[architecture]
  return {
    loader: join(folder, `systemd-boot${file}.efi`),
    removableName: removable,
    stub: join(folder, `linux${file}.efi.stub`),
  }
}

/**
 * e2fsck as one static program.
 *
 * @throws ProvisionError when it cannot be had
 */
export async function provideE2fsck(archive: Archive, cache: string): Promise<string> {
  const folder = await providePackage(archive, cache, {
    role: 'e2fsck',
    name: 'e2fsck-static',
    layoutVersion: 1,
    place: (path) => (/^(usr\/)?sbin\/e2fsck\.static$/.test(path) ? 'e2fsck' : undefined),
  })
  return join(folder, 'e2fsck')
}
