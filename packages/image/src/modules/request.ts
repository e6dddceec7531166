/** What a running kernel asks modprobe(8) for, looked up in the index that an image has. */
import type { ModuleIndex } from '../modules.ts'
import { fnmatch, normalizeAlias } from './fnmatch.ts'
import { canonicalName } from './modinfo.ts'

/**
 * Names of the modules that `request` stands for: a module's name, or an alias as the kernel gives it (`fs-ext4`,
 * `net-pf-38`, `virtio:d00000001v00001AF4`), of which all that match count. What they depend on is in the index.
 *
 * @returns empty when the index has none: it may be built in, see `builtin` there
 *
 * @example
 * ```ts
 * import { type ModuleIndex, requestedModules } from '@pkg/image/modules'
 *
 * const modules = { ext4: { path: '/lib/ext4.ko', dependencies: ['jbd2'], softPre: [], softPost: [] } }
 * const index: ModuleIndex = { release: '6.1.0', modules, aliases: [['fs-ext?', 'ext4']], builtin: [] }
 * console.log(requestedModules(index, 'fs-ext2')) // [ "ext4" ]
 * ```
 */
export function requestedModules(index: ModuleIndex, request: string): string[] {
  const name = canonicalName(request)
  if (Object.hasOwn(index.modules, name)) return [name]
  const found = index.aliases.filter(([pattern]) => fnmatch(normalizeAlias(pattern), name))
  return [...new Set(found.map(([, module]) => module))]
}
