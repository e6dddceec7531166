/** A real kernel for the tests: the distribution's small one, taken once through apt into the cache. */
import { debianKernel } from '../src/guest-kernel.ts'

/** A kernel on the host's disk. */
export interface TestKernel {
  /** Path of the bzImage. */
  image: string
  /** `…/lib/modules/RELEASE`, none of them compressed. */
  modulesFolder: string
  /** As `uname -r` gives it. */
  release: string
}

/** The kernel, fetched now if it is not in the cache yet. */
export async function testKernel(): Promise<TestKernel> {
  const { image, modulesFolder, release, origin } = await debianKernel({
    architecture: 'x86_64',
    flavour: 'cloud',
  })
  if (modulesFolder === undefined) throw new Error(`${origin} has no modules`)
  return { image, modulesFolder, release }
}
