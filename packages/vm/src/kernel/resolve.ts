// From "the cloud kernel" to the packages that hold it: the meta-package's name per distribution, and the
// real packages behind it, whose names carry the kernel's release.
import type { PrivateApt } from '../apt/private-apt.ts'
import type { Dependency, PackageRecord } from '../apt/stanza.ts'
import { debianArchitecture } from '../host/system.ts'
import type { Architecture } from '../machine.ts'

/** `cloud`: for virtual machines, small; `generic`: with the drivers of real machines. */
export type KernelFlavour = 'cloud' | 'generic'

/**
 * The meta-package of a flavour. Debian: linux-image-[cloud-]ARCH; Ubuntu has no cloud kernel in the archive,
 * its `virtual` is the generic kernel without the modules of real machines.
 */
export function kernelPackage(family: string, flavour: KernelFlavour, architecture: Architecture): string {
  if (family === 'ubuntu') return flavour === 'cloud' ? 'linux-image-virtual' : 'linux-image-generic'
  return `linux-image-${flavour === 'cloud' ? 'cloud-' : ''}${debianArchitecture[architecture]}`
}

/**
 * Packages with files of the kernel have its release in their name: linux-image-6.1.0-37-cloud-amd64,
 * linux-modules-6.8.0-31-generic, linux-modules-extra-…, linux-image-unsigned-…, linux-binary-… (Debian since
 * 6.16). `linux-base` and `linux-firmware` have none.
 */
const kernelPart = /^linux-(image|image-unsigned|modules|modules-extra|binary|binary-unsigned)-\d/

/** Finds the packages behind a kernel package; the meta-package itself, which is empty, is not among them. */
export async function resolveKernel(apt: PrivateApt, request: string): Promise<readonly PackageRecord[]> {
  const found = new Map<string, PackageRecord>()
  const seen = new Set<string>([request])
  const queue = (await apt.show(request)).slice(0, 1)
  for (let record = queue.shift(); record !== undefined; record = queue.shift()) {
    if (kernelPart.test(record.name)) found.set(record.name, record)
    for (const alternatives of record.dependencies) {
      const next = await firstThere(apt, alternatives, seen)
      if (next !== undefined) queue.push(next)
    }
  }
  // A meta-package alone is no kernel.
  const hasImage = [...found.keys()].some((name) => !name.startsWith('linux-modules'))
  return hasImage ? [...found.values()] : []
}

async function firstThere(
  apt: PrivateApt,
  alternatives: readonly Dependency[],
  seen: Set<string>,
): Promise<PackageRecord | undefined> {
  // A meta-package may depend on another one (linux-image-virtual → linux-image-generic in old releases).
  const wanted = alternatives.filter(({ name }) => /^linux-image-/.test(name) || kernelPart.test(name))
  if (wanted.some(({ name }) => seen.has(name))) return undefined
  for (const { name, version } of wanted) {
    const record = (await apt.show(name, version))[0]
    seen.add(name)
    if (record !== undefined) return record
  }
  return undefined
}
