// The result in its folder. Each file is replaced in one step, and appliance.json, which names the others with
// their hashes, comes last: what it says is there.
import { copyFile, mkdir, readFile, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { SoloError } from '../error.ts'
import { explainWriteError, kindOf, sha256, sha256File, writeAtomically } from '../host/files.ts'

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
  const kernelFile = join(folder, 'kernel')
  await copyAtomically(output.kernelImage, kernelFile)
  await writeAtomically(join(folder, 'initramfs.img'), image)
  const kernelBytes = await readFile(output.kernelImage)
  const { version, name, applianceVersion, architecture, format, commandLine, ...rest } = output.manifest
  const manifest: Manifest = {
    version,
    name,
    applianceVersion,
    architecture,
    format,
    commandLine,
    kernel: { file: 'kernel', sizeBytes: kernelBytes.length, sha256: sha256(kernelBytes), ...output.kernel },
    initramfs: {
      file: 'initramfs.img',
      sizeBytes: image.length,
      sha256: sha256(image),
      unpackedBytes: output.unpackedBytes,
    },
    ...rest,
  }
  await writeAtomically(join(folder, 'appliance.json'), `${JSON.stringify(manifest, undefined, 2)}\n`)
  return manifest
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

async function copyAtomically(from: string, to: string): Promise<void> {
  if ((await kindOf(to)) === 'file' && (await sha256File(to)) === (await sha256File(from))) return
  const temporary = `${to}.part-${process.pid}`
  try {
    await copyFile(from, temporary)
    await rename(temporary, to)
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => undefined)
    throw explainWriteError(error, to)
  }
}
