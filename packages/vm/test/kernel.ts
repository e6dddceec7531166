/**
 * A real kernel for the tests: the distribution's own package, taken once through apt into the cache. It
 * needs no root, installs nothing, and is never asked for again.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { defaultCacheFolder } from '../src/kvm.ts'

/** A kernel on the host's disk. */
export interface TestKernel {
  /** Path of the bzImage. */
  image: string
  /** `…/lib/modules/RELEASE`. */
  modulesFolder: string
  /** As `uname -r` gives it. */
  release: string
}

/** Debian's name, then Ubuntu's, whose archive does not have the first. */
const META_PACKAGES = ['linux-image-cloud-amd64', 'linux-image-virtual']

/** The kernel, fetched now if it is not in the cache yet. */
export function testKernel(): TestKernel {
  const folder = join(defaultCacheFolder(), 'test-kernel')
  if (!existsSync(folder)) fetchInto(folder)
  return kernelIn(folder)
}

function fetchInto(folder: string): void {
  mkdirSync(defaultCacheFolder(), { recursive: true })
  const temporary = mkdtempSync(`${folder}-`)
  try {
    const packages = packagesToFetch()
    // Without a sandbox: apt's own user cannot write to our folder, and says so at length.
    run('apt-get', ['-q', '-o', 'APT::Sandbox::User=root', 'download', ...packages], temporary)
    for (const file of readdirSync(temporary).filter((name) => name.endsWith('.deb'))) {
      run('dpkg-deb', ['-x', file, 'root'], temporary)
    }
    kernelIn(join(temporary, 'root'))
    renameSync(join(temporary, 'root'), folder)
  } finally {
    rmSync(temporary, { recursive: true, force: true })
  }
}

/** The meta package stands for an image package, which on Ubuntu goes with a package of modules. */
function packagesToFetch(): string[] {
  for (const meta of META_PACKAGES) {
    const { stdout } = spawnSync('apt-cache', ['depends', '--recurse', '--important', meta], {
      encoding: 'utf8',
    })
    const names = stdout.match(/^linux-(image|modules)-\d\S*$/gm) ?? []
    if (names.some((name) => name.startsWith('linux-image-'))) return [...new Set(names)]
  }
  throw new Error(`apt knows none of ${META_PACKAGES.join(', ')}: run apt-get update`)
}

function kernelIn(folder: string): TestKernel {
  const image = readdirSync(join(folder, 'boot')).find((name) => name.startsWith('vmlinuz-'))
  if (image === undefined) throw new Error(`${folder}/boot: no vmlinuz; remove ${folder} and try again`)
  const release = image.slice('vmlinuz-'.length)
  const modulesFolder = ['lib/modules', 'usr/lib/modules']
    .map((modules) => join(folder, modules, release))
    .find((path) => existsSync(path))
  if (modulesFolder === undefined)
    throw new Error(`${folder}: no modules of ${release}; remove it and try again`)
  return { image: join(folder, 'boot', image), modulesFolder, release }
}

function run(program: string, args: string[], cwd: string): void {
  const { status, stderr, error } = spawnSync(program, args, { cwd, encoding: 'utf8' })
  if (status !== 0) throw new Error(`${program} ${args.join(' ')}: ${error?.message ?? stderr.trim()}`)
}
