// What every format is made of, and what each gives to be written.
import type { FileTree } from '@pkg/image/tree'
import type { Archive } from '@pkg/vm/archive'
import type { Kernel } from '@pkg/vm/kernel'
import type { Architecture } from '@pkg/vm/machine'
import type { ApplianceConfig } from '../config.ts'
import type { Progress } from '../progress.ts'
import type { Origins } from '../sbom/origins.ts'
import type { Sources } from '../sbom/sources.ts'
import type { ImagePart } from '../sbom/spdx.ts'
import type { ComponentSizes } from './component-sizes.ts'
import type { DiskManifest } from './write-out.ts'

/** An appliance, gathered and put together, before it has a form. */
export interface Assembly {
  readonly config: ApplianceConfig
  readonly architecture: Architecture
  readonly kernel: Kernel
  /** Everything but the runtime. */
  readonly tree: FileTree
  /** Bun and its libraries. */
  readonly runtime: FileTree
  /** What the files of both come from. */
  readonly origins: Origins
  /** What the image is made of. */
  readonly sources: Sources
  /** Words of the kernel's command line. */
  readonly commandLine: readonly string[]
  readonly archive: Archive
  readonly cache: string
  /** The time that every file has, in seconds since 1970. */
  readonly mtimeSeconds: number
  /** When the release was made, in seconds since 1970. */
  readonly createdSeconds: number
  readonly progress: Progress
}

/** What a format writes. */
export interface FormatOutput {
  /** Files by their names; `kernel` and `initramfs.img` are always among them. */
  readonly files: Readonly<Record<string, (path: string) => Promise<void>>>
  /** All that is in them, for the bill of materials. */
  readonly parts: readonly ImagePart[]
  /** How much the initramfs is unpacked, in bytes. */
  readonly unpackedBytes: number
  /** How large it came out, once the files are written; with `disk`. */
  readonly sizes?: () => Promise<Partial<ComponentSizes>>
  /** The disk, with `disk`. */
  readonly disk?: DiskManifest
}
