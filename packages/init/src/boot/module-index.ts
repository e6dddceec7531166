/**
 * Which kernel modules a device asks for, and in which order they are loaded. The index is the JSON that the
 * build writes beside the modules (`@pkg/image/modules`), so that PID 1 reads one small file instead of
 * depmod's five.
 */
import { fnmatch } from './fnmatch.ts'

/** One module in the image. */
export interface IndexedModule {
  /** Its file in the guest. */
  readonly path: string
  /** What it needs, in load order. */
  readonly dependencies: readonly string[]
  /** What should be loaded before it, if it is there (modules.softdep). */
  readonly softPre: readonly string[]
  /** What should be loaded after it, if it is there. */
  readonly softPost: readonly string[]
}

/** The index file, `/lib/modules/<release>/solo-modules.json`. */
export interface ModuleIndex {
  /** The kernel's release, as uname has it. */
  readonly release: string
  /** The modules in the image by name. */
  readonly modules: Readonly<Record<string, IndexedModule>>
  /** Patterns of modalias and the module that each asks for. */
  readonly aliases: readonly (readonly [pattern: string, name: string])[]
  /** Modules that are part of the kernel. */
  readonly builtin: readonly string[]
}

/** The kernel writes `-` and `_` of a name both as `_`. */
export function canonicalName(name: string): string {
  return name.replaceAll('-', '_')
}

/** Finds modules quickly: patterns are looked up by their bus first (`pci:`, `virtio:`). */
export interface ModuleFinder {
  /** Names of the modules that a modalias asks for, in the order of the index. */
  forModalias(modalias: string): string[]
  /** Everything to load for a module, itself included, in order; empty when it is not in the image. */
  loadOrder(name: string): string[]
  /** Where the file of a module is. */
  pathOf(name: string): string | undefined
  /** Whether it is part of the kernel. */
  isBuiltin(name: string): boolean
}

/** Makes a finder over an index. */
export function moduleFinder(index: ModuleIndex): ModuleFinder {
  const byBus = new Map<string, (readonly [string, string])[]>()
  for (const alias of index.aliases) {
    const bus = busOf(alias[0])
    const list = byBus.get(bus)
    if (list === undefined) byBus.set(bus, [alias])
    else list.push(alias)
  }
  const modules = new Map(Object.entries(index.modules).map(([name, each]) => [canonicalName(name), each]))
  const builtin = new Set(index.builtin.map(canonicalName))

  function visit(name: string, order: Set<string>, underway: Set<string>): void {
    const known = modules.get(name)
    // Soft dependencies may go in circles.
    if (known === undefined || order.has(name) || underway.has(name)) return
    underway.add(name)
    for (const before of [...known.softPre, ...known.dependencies])
      visit(canonicalName(before), order, underway)
    order.add(name)
    for (const after of known.softPost) visit(canonicalName(after), order, underway)
  }

  return {
    forModalias(modalias) {
      const candidates = [...(byBus.get(busOf(modalias)) ?? []), ...(byBus.get('') ?? [])]
      const names = candidates.filter(([pattern]) => fnmatch(pattern, modalias)).map(([, name]) => name)
      return [...new Set(names.map(canonicalName))]
    },
    loadOrder(name) {
      const order = new Set<string>()
      visit(canonicalName(name), order, new Set())
      return [...order]
    },
    pathOf: (name) => modules.get(canonicalName(name))?.path,
    isBuiltin: (name) => builtin.has(canonicalName(name)),
  }
}

/** The part before the first colon; empty when a wildcard stands in it. */
function busOf(alias: string): string {
  const bus = alias.slice(0, Math.max(0, alias.indexOf(':')))
  return /[*?[\\]/.test(bus) ? '' : bus
}
