// How large an image is, by what it holds and by what it is delivered as.
import { contentSizeBytes } from '@pkg/image/file-source'
import type { FileTree } from '@pkg/image/tree'
import type { Assembly } from './assembly.ts'
import { serviceFolder } from './plan.ts'

/** Sizes in bytes; those of files are the sums of their bytes, before any format. */
export interface ComponentSizes {
  /** Bun and the libraries that it needs. */
  readonly runtimeBytes: number
  /** Kernel modules in the root, with their index. */
  readonly modulesBytes: number
  /** What came from Debian packages, and the libraries that their programs need. */
  readonly packagesBytes: number
  /** PID 1. */
  readonly initBytes: number
  /** The bundle of each service that has one. */
  readonly services: readonly { readonly name: string; readonly sizeBytes: number }[]
  /** All other files: those of the configuration, of /etc, the checker of file systems. */
  readonly otherBytes: number
  /** The image of a slot's root with its hash tree, with `disk`. */
  readonly rootBytes?: number
  /** The unified kernel image of a slot, with `disk`. */
  readonly ukiBytes?: number
  /** What of the disk image is not holes, with `disk`. */
  readonly diskUsedBytes?: number
  /** What an update moves at most: root and kernel image, compressed by zstd; with `disk`. */
  readonly payloadBytes?: number
}

/** Sizes of what is in the image, by where it lies. */
export function contentSizes({ config, tree, runtime, origins, sources }: Assembly): ComponentSizes {
  const fromPackages = new Set(sources.taken('packages').map(({ name }) => name))
  const services = config.services
    .filter(({ entry }) => entry !== undefined)
    .map(({ name }) => ({
      name,
      sizeBytes: sizeOf(tree, (path) => path.startsWith(`${serviceFolder(name)}/`)),
    }))
  const known = {
    modulesBytes: sizeOf(tree, (path) => path.startsWith('/lib/modules/')),
    packagesBytes: sizeOf(tree, (path) => origins.of(path).some(({ name }) => fromPackages.has(name))),
    initBytes: sizeOf(tree, (path) => path.startsWith('/sbin/init')),
  }
  const servicesBytes = services.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
  const namedBytes = known.modulesBytes + known.packagesBytes + known.initBytes + servicesBytes
  return {
    runtimeBytes: sizeOf(runtime, () => true),
    ...known,
    services,
    otherBytes: sizeOf(tree, () => true) - namedBytes,
  }
}

/** The sizes for people, a line each. */
export function sizeLines(sizes: ComponentSizes): string[] {
  const rows: [string, number | undefined][] = [
    ['runtime', sizes.runtimeBytes],
    ['kernel modules', sizes.modulesBytes],
    ['packages', sizes.packagesBytes],
    ['init', sizes.initBytes],
    ...sizes.services.map(({ name, sizeBytes }): [string, number] => [`service ${name}`, sizeBytes]),
    ['other files', sizes.otherBytes],
    ['root', sizes.rootBytes],
    ['kernel image (UKI)', sizes.ukiBytes],
    ['disk in use', sizes.diskUsedBytes],
    ['release, compressed', sizes.payloadBytes],
  ]
  return rows.flatMap(([name, bytes]) =>
    bytes === undefined ? [] : [`${name.padEnd(24)}${(bytes / 1024 / 1024).toFixed(2).padStart(9)} MiB`],
  )
}

function sizeOf(tree: FileTree, counts: (path: string) => boolean): number {
  let sum = 0
  for (const node of tree)
    if (node.type === 'file' && counts(node.path)) sum += contentSizeBytes(node.content)
  return sum
}
