// What an appliance is made of, named once for all of its files.
import { existsSync } from 'node:fs'
import { basename, join, resolve } from 'node:path'
import type { Archive } from '@pkg/vm/archive'
import { sha256File } from '@pkg/vm/host'
import type { Kernel } from '@pkg/vm/kernel'
import type { Architecture } from '@pkg/vm/machine'
import { bunPackage, bunVersion } from '@pkg/vm/runtime'
import distroPackage from '../../package.json' with { type: 'json' }
import type { LoadedAppliance } from '../config/load.ts'
import { type Component, debianComponent, fileComponent, npmComponent, sourceComponent } from './component.ts'

/** The components of an appliance. */
export interface Sources {
  /** What its folder holds. */
  readonly appliance: Component
  /** What the build itself writes. */
  readonly solo: Component
  /** The engine. */
  readonly bun: Component
  /** The kernel and its modules. */
  readonly kernel: readonly Component[]
  /** The packages that were taken for a role, such as `glibc`. */
  taken(role: string): readonly Component[]
  /** Where a library comes from that lies at this path: glibc's pinned package, or the root that was searched. */
  library(path: string): readonly Component[]
}

/** Names the components. What was taken from the archive is looked up when it is asked for. */
export async function sourcesOf(
  { config, folder }: LoadedAppliance,
  archive: Archive,
  { architecture, kernel, glibc }: { architecture: Architecture; kernel: Kernel; glibc: string },
): Promise<Sources> {
  const taken = (role: string): readonly Component[] =>
    (archive.taken.get(role) ?? []).map((pin) => debianComponent(pin, archive.suite))
  const { deb, image } = config.kernel ?? {}
  const kernelFile = deb ?? image
  const ownKernel =
    kernelFile === undefined
      ? []
      : [fileComponent(basename(kernelFile), await sha256File(resolve(folder, kernelFile)))]
  const sysroot: Component = { kind: 'file', name: 'sysroot' }
  return {
    appliance: sourceComponent(config.name, config.version),
    solo: npmComponent(distroPackage.name, distroPackage.version),
    bun: npmComponent(bunPackage(architecture), bunVersion),
    kernel: kernel.modulesFolder === undefined || ownKernel.length > 0 ? ownKernel : taken('kernel'),
    taken,
    library: (path) =>
      existsSync(join(glibc, path)) && taken('glibc').length > 0 ? taken('glibc') : [sysroot],
  }
}
