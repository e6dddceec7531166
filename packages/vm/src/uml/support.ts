/** Whether this machine can run User Mode Linux guests. */
import { spawnSync } from 'node:child_process'
import { findProgram } from '../host/find-program.ts'
import { namespaceArguments } from './life.ts'
import { findUml } from './options.ts'

/** What {@link umlSupport} found. */
export interface UmlSupport {
  /** Whether all is there that a guest needs. */
  works: boolean
  /** What is missing, and what helps, in words; empty when it works. */
  reason: string
}

/**
 * Looks for the kernel and its modules, and makes a pid namespace, without which processes of a guest could outlive it.
 * No kernel is booted; takes about 10 ms.
 *
 * @param uml - path or name of the kernel
 */
export async function umlSupport(uml: string = 'linux.uml'): Promise<UmlSupport> {
  try {
    await findUml(uml, undefined)
  } catch (error) {
    return { works: false, reason: (error as Error).message }
  }
  const unshare = findProgram('unshare')
  if (unshare === undefined) return { works: false, reason: 'unshare was not found: apt install util-linux' }
  const { status, stderr } = spawnSync(unshare, [...namespaceArguments(), '/bin/true'], { encoding: 'utf8' })
  if (status === 0) return { works: true, reason: '' }
  return { works: false, reason: `the host refuses a pid namespace (${stderr.trim()})` }
}
