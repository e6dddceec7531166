// The result in its folder: written beside it first, then put in place, appliance.json last, as it names the
// others with their hashes.
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { SoloError } from '../error.ts'
import { explainWriteError, kindOf, sha256 } from '../host/files.ts'
import { scratchBeside } from '../host/scratch.ts'

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
  /** Architecture that it is built for. */
  readonly architecture: 'x86_64' | 'aarch64'
  /** What was made. */
  readonly format: 'initramfs'
  /** Words of the kernel's command line. */
  readonly commandLine: readonly string[]
  /** The kernel, its release, and the packages or the file that it comes from. */
  readonly kernel: OutputFile & { readonly release: string; readonly origin: string }
  /** The initramfs, and how much it is unpacked. */
  readonly initramfs: OutputFile & { readonly unpackedBytes: number }
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
  /** The machine that `solo run` starts. */
  readonly machine: { readonly memoryMiB: number; readonly cpus: number }
}

/** What is written. */
export interface Output {
  /** The kernel's image on the host. */
  readonly kernelImage: string
  readonly initramfs: readonly Uint8Array[]
  /** Everything of the manifest but the two files. */
  readonly manifest: Omit<Manifest, 'kernel' | 'initramfs'>
  readonly kernel: { readonly release: string; readonly origin: string }
  readonly unpackedBytes: number
}

/**
 * Writes `kernel`, `initramfs.img` and `appliance.json` into a folder, which is made if need be.
 *
 * @throws SoloError when the disk is full or the folder cannot be written
 */
export async function writeOutput(folder: string, output: Output): Promise<Manifest> {
  await makeFolder(folder)
  const image = Buffer.concat(output.initramfs)
  const kernel = await readFile(output.kernelImage)
  const { version, name, applianceVersion, architecture, format, commandLine, ...rest } = output.manifest
  const manifest: Manifest = {
    version,
    name,
    applianceVersion,
    architecture,
    format,
    commandLine,
    kernel: { file: 'kernel', sizeBytes: kernel.length, sha256: sha256(kernel), ...output.kernel },
    initramfs: {
      file: 'initramfs.img',
      sizeBytes: image.length,
      sha256: sha256(image),
      unpackedBytes: output.unpackedBytes,
    },
    ...rest,
  }
  const text = `${JSON.stringify(manifest, undefined, 2)}\n`
  await writeTogether(folder, { kernel, 'initramfs.img': image, 'appliance.json': text })
  return manifest
}

/** All files are whole before the first takes its place, so that a full disk leaves the old ones as they were. */
async function writeTogether(
  folder: string,
  files: Readonly<Record<string, Uint8Array | string>>,
): Promise<void> {
  try {
    using scratch = scratchBeside(join(folder, 'appliance'))
    for (const [name, data] of Object.entries(files)) await writeFile(join(scratch.folder, name), data)
    for (const name of Object.keys(files)) await rename(join(scratch.folder, name), join(folder, name))
  } catch (error) {
    throw explainWriteError(error, folder)
  }
}

async function makeFolder(folder: string): Promise<void> {
  if ((await kindOf(folder)) === 'file') {
    throw new SoloError(`--out: expected a folder, got ${folder}, which is a file`, { exitStatus: 2 })
  }
  try {
    await mkdir(folder, { recursive: true })
  } catch (error) {
    throw explainWriteError(error, folder)
  }
}
