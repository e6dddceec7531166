/** Which backend carries a guest: the one that was asked for, if it can; with `'auto'` the cheapest that can. */
import { UnsupportedError, type Objection } from '../errors.ts'
import { findProgram } from '../host/find-program.ts'
import type { Architecture, Backend } from '../machine.ts'
import { namespaceSupport } from '../namespace.ts'
import { hostArchitecture } from '../host/system.ts'
import { checkQuestion } from './check.ts'
import type { BootOptions } from './options.ts'
import { CHEAPEST_FIRST, objections } from './support.ts'

/**
 * Every reason why `backend` cannot carry a guest with `options` here: what it never can, then what this machine
 * lacks for it. Empty when it can. A namespace is really made to find out, which takes milliseconds.
 *
 * @throws TypeError a backend or a need that is not known
 *
 * @example
 * ```ts
 * import { objectionsTo } from '@pkg/vm'
 *
 * const [objection] = await objectionsTo('namespace', { needs: ['clock'] })
 * console.log(objection?.reason) // the clock is the host's; 'uml' and 'qemu' have their own
 * ```
 */
export async function objectionsTo(backend: Backend, options: BootOptions = {}): Promise<Objection[]> {
  checkQuestion(backend, options)
  const host = hostArchitecture()
  const found = objections(options, backend, host)
  if (found.length > 0) return found
  const reason = await missing(backend, options, host)
  return reason === undefined ? [] : [{ backend, feature: backend, reason }]
}

/**
 * The backend for a guest with `options`.
 *
 * @throws {@link UnsupportedError} with every reason
 */
export async function chooseBackend(options: BootOptions): Promise<Backend> {
  const { backend = 'auto' } = options
  const candidates = backend === 'auto' ? CHEAPEST_FIRST : [backend]
  const found: Objection[] = []
  for (const candidate of candidates) {
    const reasons = await objectionsTo(candidate, options)
    if (reasons.length === 0) return candidate
    found.push(...reasons)
  }
  throw new UnsupportedError(found)
}

async function missing(
  backend: Backend,
  options: BootOptions,
  host: Architecture,
): Promise<string | undefined> {
  if (backend === 'namespace') {
    const { works, reason } = await namespaceSupport()
    return works ? undefined : reason
  }
  const [program, packageName] = programOf(backend, options.architecture ?? host)
  if (findProgram(program) !== undefined) return undefined
  return `${program} was not found in PATH: install it (Debian, Ubuntu: apt install ${packageName})`
}

function programOf(backend: Backend, architecture: Architecture): [program: string, packageName: string] {
  if (backend === 'uml') return ['linux.uml', 'user-mode-linux']
  if (architecture === 'aarch64') return ['qemu-system-aarch64', 'qemu-system-arm']
  return ['qemu-system-x86_64', 'qemu-system-x86']
}
