/**
 * What runs TypeScript in a guest: one Bun binary, and the glibc that it is linked with. Both are of one pinned
 * version, whatever this machine has installed.
 */
import { rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Archive } from './apt/archive.ts'
import { providePackage } from './apt/provide.ts'
import { ProvisionError } from './host/error.ts'
import { explainWriteError, kindOf } from './host/files.ts'
import { runProgram } from './host/program.ts'
import { findBun } from './host/bun.ts'
import { scratchBeside } from './host/scratch.ts'
import { hostArchitecture } from './host/system.ts'
import type { Architecture } from './machine.ts'

/** The version of Bun that images hold; what runs in them is tested with this one. */
export const bunVersion = '1.4.5'

/** Bun's packages for Linux with glibc. */
const bunPackages: Readonly<Record<Architecture, string>> = {
  x86_64: '@oven/bun-linux-x64',
  aarch64: '@oven/bun-linux-aarch64',
}

/** Name of the npm package that Bun's binary for an architecture comes in. */
export function bunPackage(architecture: Architecture): string {
  return bunPackages[architecture]
}

/**
 * The Bun binary for an architecture: the one that runs this very program when it fits, else the package of
 * the npm registry, kept in the cache folder.
 *
 * @returns the path of the binary
 * @throws ProvisionError when the package cannot be had
 */
export async function provideBun(architecture: Architecture, cache: string): Promise<string> {
  if (architecture === hostArchitecture() && process.versions.bun === bunVersion) return process.execPath
  const name = bunPackage(architecture)
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
  const result = await runProgram(await findBun(), ['install', ...options], { cwd: scratch.folder })
  const unpacked = join(scratch.folder, 'node_modules', name)
  if (result.status !== 0 || (await kindOf(join(unpacked, 'bin', 'bun'))) !== 'file') {
    const reason = result.stderr.trim().split('\n').at(-1) ?? ''
    throw new ProvisionError(`cannot get ${name} ${bunVersion} from the npm registry: ${reason}`)
  }
  try {
    await rename(unpacked, folder)
  } catch (error) {
    if ((await kindOf(binary)) !== 'file') throw explainWriteError(error, folder)
  }
  return binary
}

/**
 * A folder with the shared libraries of Debian's package libc6, as they lie in a root, for the suite and
 * architecture of the archive.
 *
 * @throws ProvisionError when the package cannot be had, with the way out
 */
export async function provideGlibc(archive: Archive, cache: string): Promise<string> {
  return await providePackage(archive, cache, {
    role: 'glibc',
    name: 'libc6',
    layoutVersion: 2,
    place: placeLibrary,
  })
}

/**
 * Libraries and the dynamic linker; not gconv's converters nor the documentation. Debian 13 ships them below /usr,
 * where /lib is a symlink: programs name their interpreter by the path without it.
 */
function placeLibrary(path: string): string | undefined {
  if (!/^(usr\/)?lib(64)?\/([^/]+-linux-gnu\/)?[^/]+\.so[^/]*$/.test(path)) return undefined
  return path.replace(/^usr\//, '')
}
