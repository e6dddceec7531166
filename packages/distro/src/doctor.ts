/** What a machine has and lacks for building and running appliances, each with the way to get it. */
import { access, constants, mkdir, statfs } from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import { accelerator } from '@pkg/vm/kvm'
import { cacheFolder } from '@pkg/vm/host'
import { bunVersion } from '@pkg/vm/runtime'

/** One finding of {@link examine}. */
export interface Finding {
  /** What was looked at. */
  readonly what: string
  /** Whether it is as it should be. */
  readonly ok: boolean
  /** Whether something does not work without it. */
  readonly needed: boolean
  /** What was found. */
  readonly detail: string
  /** How to get it. */
  readonly cure?: string
}

interface Need {
  readonly program: string
  readonly needed: boolean
  readonly why: string
  readonly package: string
}

const needs: readonly Need[] = [
  { program: 'apt-get', needed: true, why: 'fetches kernels', package: 'apt' },
  { program: 'apt-cache', needed: true, why: 'finds kernels', package: 'apt' },
  { program: 'dpkg-deb', needed: true, why: 'unpacks packages', package: 'dpkg' },
  { program: 'flock', needed: true, why: 'keeps two builds apart', package: 'util-linux' },
  { program: 'xz', needed: true, why: 'unpacks kernel modules', package: 'xz-utils' },
  { program: 'qemu-system-x86_64', needed: true, why: 'runs appliances', package: 'qemu-system-x86' },
]

/** 2 GiB: an unpacked generic kernel has about 0.5, Bun 0.1, the packages and results another 0.5. */
const wantedBytes = 2 * 1024 ** 3

/**
 * Examines this machine. Takes a second or two the first time, when KVM is tried.
 *
 * @example
 * ```ts no-run
 * import { examine } from '@pkg/distro/doctor'
 *
 * for (const { what, ok, detail } of await examine()) console.log(ok, what, detail)
 * ```
 */
export async function examine(): Promise<readonly Finding[]> {
  const programs = await Promise.all(needs.map(examineProgram))
  const qemuFound = programs.some(({ what, ok }) => ok && what.startsWith('qemu'))
  return [examineBun(), ...programs, ...(qemuFound ? [await examineKvm()] : []), await examineCache()]
}

function examineBun(): Finding {
  const found = process.versions.bun
  const ok = found === bunVersion
  const detail = ok
    ? found
    : `${found ?? 'none'}; images hold ${bunVersion}, which comes from the npm registry`
  return { what: 'bun', ok, needed: false, detail, cure: `npm install bun@${bunVersion}` }
}

async function examineProgram({ program, needed, why, package: name }: Need): Promise<Finding> {
  for (const folder of (process.env['PATH'] ?? '').split(delimiter)) {
    const path = join(folder, program)
    const found = await access(path, constants.X_OK).then(
      () => true,
      () => false,
    )
    if (found) return { what: program, ok: true, needed, detail: path }
  }
  return { what: program, ok: false, needed, detail: `not found (${why})`, cure: `apt-get install ${name}` }
}

async function examineKvm(): Promise<Finding> {
  const found = await accelerator().catch((error: unknown) =>
    error instanceof Error ? error.message : 'unknown',
  )
  return {
    what: 'kvm',
    ok: found === 'kvm',
    needed: false,
    detail: found === 'kvm' ? 'a guest boots with it' : 'does not work here; guests run without it, slower',
    cure: 'enable virtualisation in the firmware, and join the group kvm',
  }
}

async function examineCache(): Promise<Finding> {
  const folder = cacheFolder()
  try {
    await mkdir(folder, { recursive: true })
    await access(folder, constants.W_OK)
    const { bavail, bsize } = await statfs(folder)
    const freeBytes = bavail * bsize
    const detail = `${folder}, ${(freeBytes / 1024 ** 3).toFixed(1)} GiB free`
    return { what: 'cache', ok: freeBytes >= wantedBytes, needed: false, detail, cure: 'free some space' }
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error)
    return { what: 'cache', ok: false, needed: true, detail, cure: 'set SOLO_CACHE_DIR to a folder of yours' }
  }
}
