// The result in its folder: written beside it first, then put in place, appliance.json last, as it names the
// others with their hashes.
import { mkdir, rename, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { ReleaseIdentity } from '@pkg/init/boot-state'
import { explainWriteError, kindOf, scratchBeside, sha256File } from '@pkg/vm/host'
import { SoloError } from '../error.ts'
import type { ComponentSizes } from './component-sizes.ts'
import type { BuildFormat } from './format.ts'

/** One file of the result. */
export interface OutputFile {
  /** Name in the folder. */
  readonly file: string
  /** Its size. */
  readonly sizeBytes: number
  /** Its hash, in hexadecimal. */
  readonly sha256: string
}

/** What a build made, as `appliance.json` has it. Nothing in it depends on when or where it was built. */
export interface Manifest {
  /** Version of this format. */
  readonly version: 1
  /** Name of the appliance. */
  readonly name: string
  /** Version of the appliance; null when the configuration gives none. */
  readonly applianceVersion: string | null
  /** What the image says of itself, as it is in its `/etc/solo/release.json`. */
  readonly release: ReleaseIdentity
  /** Architecture that it is built for. */
  readonly architecture: 'x86_64' | 'aarch64'
  /** What was made. */
  readonly format: BuildFormat
  /** Words of the kernel's command line. */
  readonly commandLine: readonly string[]
  /** The kernel, its release, and the packages or the file that it comes from. */
  readonly kernel: OutputFile & { readonly release: string; readonly origin: string }
  /** The initramfs, and how much it is unpacked; with `disk` the small one that finds the root on the disk. */
  readonly initramfs: OutputFile & { readonly unpackedBytes: number }
  /** The disk image, with `disk`. */
  readonly disk?: DiskManifest
  /** The unified kernel image, with `uki`. */
  readonly uki?: OutputFile
  /** The bill of materials: every file and what it comes from, as SPDX 2.3. */
  readonly sbom: OutputFile
  /** How large it is, by what it holds. */
  readonly sizes: ComponentSizes
  /** Version of Bun in the image, and the hash of its binary. */
  readonly bun: { readonly version: string; readonly sha256: string }
  /** The services, as PID 1 starts them. */
  readonly services: readonly {
    readonly name: string
    readonly command: readonly string[]
    readonly uid: number
  }[]
  /** Names of the kernel modules in the image. */
  readonly modules: readonly string[]
  /** Ports that `solo run` forwards. */
  readonly forwards: readonly { readonly host: number; readonly guest: number }[]
  /** TCP port of the device's agent, which is one of those; null without an agent. */
  readonly agentPort: number | null
  /** The machine that `solo run` starts. */
  readonly machine: { readonly memoryMiB: number; readonly cpus: number }
}

/** A disk image. */
export interface DiskManifest {
  /** Name in the folder. */
  readonly file: string
  /** Its size; most of it are holes. */
  readonly sizeBytes: number
  /** Its partitions. */
  readonly partitions: readonly {
    readonly name: string
    readonly startBytes: number
    readonly sizeBytes: number
  }[]
  /** The root of slot a: its id, the hash that the kernel checks it with, and its size with the hash tree. */
  readonly root: { readonly imageId: string; readonly rootHash: string; readonly sizeBytes: number }
}

/** What is written. */
export interface Output {
  /** Files by their names in the folder; each is written to the path that it is given. */
  readonly files: Readonly<Record<string, (path: string) => Promise<void>>>
  /** The manifest, once the files are there; `describe` tells size and hash of one. */
  readonly manifest: (describe: (file: string) => Promise<OutputFile>) => Promise<Manifest>
}

/**
 * Writes the files and `appliance.json` into a folder, which is made if need be. All are whole before the first takes
 * its place, so that a full disk leaves the old ones as they were.
 *
 * @throws SoloError when the disk is full or the folder cannot be written
 */
export async function writeOutput(folder: string, output: Output): Promise<Manifest> {
  await makeFolder(folder)
  try {
    using scratch = scratchBeside(join(folder, 'appliance'))
    const inScratch = (name: string): string => join(scratch.folder, name)
    for (const [name, write] of Object.entries(output.files)) await write(inScratch(name))
    const manifest = await output.manifest(async (file) => {
      const { size } = await stat(inScratch(file))
      return { file, sizeBytes: size, sha256: await sha256File(inScratch(file)) }
    })
    await writeFile(inScratch(manifestFile), `${JSON.stringify(manifest, undefined, 2)}\n`)
    const names = [...Object.keys(output.files), manifestFile]
    for (const name of names) await rename(inScratch(name), join(folder, name))
    return manifest
  } catch (error) {
    throw explainWriteError(error, folder, '--out or SOLO_CACHE_DIR')
  }
}

/** Put in place last, as it names the others with their hashes. */
const manifestFile = 'appliance.json'

async function makeFolder(folder: string): Promise<void> {
  if ((await kindOf(folder)) === 'file') {
    throw new SoloError(`--out: expected a folder, got ${folder}, which is a file`, { exitStatus: 2 })
  }
  try {
    await mkdir(folder, { recursive: true })
  } catch (error) {
    throw explainWriteError(error, folder, '--out or SOLO_CACHE_DIR')
  }
}
