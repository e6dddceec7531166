/**
 * What runs TypeScript on the target: one Bun binary, and the glibc that it is linked with. Both are of one
 * pinned version, whatever the machine that builds has installed.
 */
import { mkdir, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Archive } from './apt/archive.ts'
import { unpackDeb } from './apt/deb.ts'
import { SoloError } from './error.ts'
import { explainWriteError, kindOf, sha256 } from './host/files.ts'
import { runProgram } from './host/program.ts'
import { scratchBeside } from './host/scratch.ts'
import { type Architecture, hostArchitecture } from './host/system.ts'

/** The version of Bun that images hold; init and the services are tested with this one. */
export const bunVersion = '1.4.5'

/** Bun's packages for Linux with glibc. */
const bunPackages: Readonly<Record<Architecture, string>> = {
  x86_64: '@oven/bun-linux-x64',
  aarch64: '@oven/bun-linux-aarch64',
}

/**
 * The Bun binary for an architecture: the one that runs this very program when it fits, else the package of
 * the npm registry, kept in the cache folder.
 *
 * @returns the path of the binary
 * @throws SoloError when the package cannot be had
 */
export async function provideBun(architecture: Architecture, cache: string): Promise<string> {
  if (architecture === hostArchitecture() && process.versions.bun === bunVersion) return process.execPath
  const name = bunPackages[architecture]
  const folder = join(cache, 'bun', `${bunVersion}-${architecture}`)
  const binary = join(folder, 'bin', 'bun')
  if ((await kindOf(binary)) === 'file') return binary
  using scratch = scratchBeside(folder)
  await writeFile(
    join(scratch.folder, 'package.json'),
    JSON.stringify({ private: true, dependencies: { [name]: bunVersion } }),
  )
  // The package says for which processor it is, and would be left out on another one.
  const cpu = architecture === 'aarch64' ? 'arm64' : 'x64'
  const options = ['--os=linux', `--cpu=${cpu}`, '--ignore-scripts', '--no-progress', '--backend=copyfile']
  const result = await runProgram(process.execPath, ['install', ...options], { cwd: scratch.folder })
  const unpacked = join(scratch.folder, 'node_modules', name)
  if (result.status !== 0 || (await kindOf(join(unpacked, 'bin', 'bun'))) !== 'file') {
    const reason = result.stderr.trim().split('\n').at(-1) ?? ''
    throw new SoloError(`cannot get ${name} ${bunVersion} from the npm registry: ${reason}`)
  }
  try {
    await rename(unpacked, folder)
  } catch (error) {
    if ((await kindOf(binary)) !== 'file') throw explainWriteError(error, folder)
  }
  return binary
}

/** Raised when the layout of the unpacked folder changes, so that old caches are not used. */
const layoutVersion = 2

/**
 * A folder with the shared libraries of Debian's package libc6, as they lie in a root, for the suite and
 * architecture of the archive.
 *
 * @throws SoloError when the package cannot be had, with the way out
 */
export async function provideGlibc(archive: Archive, cache: string): Promise<string> {
  const pins = await archive.pins('glibc', 'libc6', async (apt, request) =>
    (await apt.show(request)).slice(0, 1),
  )
  const id = sha256(pins.map((pin) => pin.sha256).join('\n')).slice(0, 32)
  const folder = join(cache, 'glibc', `${id}-v${layoutVersion}`)
  if ((await kindOf(folder)) === 'folder') return folder
  try {
    await mkdir(join(folder, '..'), { recursive: true })
    using scratch = scratchBeside(folder)
    for (const pin of pins) {
      await unpackDeb(await archive.file('glibc', pin), scratch.folder, placeLibrary)
    }
    await rename(scratch.folder, folder).catch(async (error: unknown) => {
      if ((await kindOf(folder)) !== 'folder') throw error
    })
  } catch (error) {
    throw explainWriteError(error, folder)
  }
  return folder
}

/**
 * Libraries and the dynamic linker; not gconv's converters nor the documentation. Debian 13 ships them below /usr,
 * where /lib is a symlink: programs name their interpreter by the path without it.
 */
function placeLibrary(path: string): string | undefined {
  if (!/^(usr\/)?lib(64)?\/([^/]+-linux-gnu\/)?[^/]+\.so[^/]*$/.test(path)) return undefined
  return path.replace(/^usr\//, '')
}
