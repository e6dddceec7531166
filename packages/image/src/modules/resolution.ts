/**
 * Which modules to load, in modprobe's order (kmod, libkmod-module.c, kmod_module_get_probe_list): for each module
 * its dependencies, each between its own soft dependencies, then itself between its soft ones.
 */
import { fnmatch, isPattern, normalizeAlias } from './fnmatch.ts'
import { canonicalName } from './modinfo.ts'
import type { Alias, ModuleTables } from './tables.ts'

/** What a name or modalias stands for. */
export interface Found {
  /** Names of modules, in depmod's order. */
  readonly modules: readonly string[]
  /** Names of what is part of the kernel. */
  readonly builtin: readonly string[]
}

/** Collects what is wanted and all that it brings along. */
export class Resolution {
  /** Names of what was wanted, or is a soft dependency, and is part of the kernel. */
  readonly builtin: Set<string> = new Set()
  readonly #tables: ModuleTables
  readonly #aliases: readonly Alias[]
  readonly #builtinAliases: readonly Alias[]
  /** In load order. */
  readonly #order = new Set<string>()
  readonly #visited = new Set<string>()
  readonly #neededBy = new Map<string, string>()

  constructor(tables: ModuleTables) {
    this.#tables = tables
    const normalize = ([pattern, name]: Alias): Alias => [normalizeAlias(pattern), name]
    this.#aliases = tables.aliases.map(normalize)
    this.#builtinAliases = tables.builtinAliases.map(normalize)
  }

  /** Adds a name, modalias or pattern; false when the kernel knows nothing of that name. */
  want(wanted: string): boolean {
    const found = this.lookUp(wanted)
    if (!found) return false
    for (const name of found.builtin) this.builtin.add(name)
    for (const name of found.modules) this.#addProbe(name)
    return true
  }

  /** What `wanted` stands for; undefined for nothing. */
  lookUp(wanted: string): Found | undefined {
    const name = canonicalName(wanted)
    if (this.#tables.modules.has(name)) return { modules: [name], builtin: [] }
    if (isPattern(wanted)) return this.#lookUpPattern(normalizeAlias(wanted))
    const modules = matching(this.#aliases, name)
    if (modules.length > 0) return { modules, builtin: [] }
    const builtin = this.#tables.builtin.has(name) ? [name] : matching(this.#builtinAliases, name)
    return builtin.length > 0 ? { modules: [], builtin } : undefined
  }

  /** The modules in load order, those that are only to be there last. */
  inOrder(): { readonly name: string; readonly weak: boolean }[] {
    const loaded = [...this.#order].map((name) => ({ name, weak: false }))
    const weak = new Resolution(this.#tables)
    // What a weak dependency brings along may have weak ones itself: the set grows while it is walked.
    for (const name of this.#order) this.#wantWeak(weak, name)
    for (const name of weak.#order) this.#wantWeak(weak, name)
    for (const [name, by] of weak.#neededBy) if (!this.#neededBy.has(name)) this.#neededBy.set(name, by)
    return [
      ...loaded,
      ...[...weak.#order].filter((name) => !this.#order.has(name)).map((name) => ({ name, weak: true })),
    ]
  }

  /** Which module brought `name` in; undefined when it was wanted itself. */
  neededBy(name: string): string | undefined {
    return this.#neededBy.get(name)
  }

  #wantWeak(weak: Resolution, name: string): void {
    for (const wanted of this.#tables.weakDependencies.get(name) ?? []) weak.want(wanted)
  }

  #lookUpPattern(pattern: string): Found | undefined {
    const pick = (names: Iterable<string>, aliases: readonly Alias[]): string[] => {
      const named = [...names].filter((name) => fnmatch(pattern, name))
      // The alias is a pattern too; taken as text, its own * is matched by that of the wanted one.
      const aliased = aliases.filter(([alias]) => fnmatch(pattern, alias)).map(([, name]) => name)
      return [...new Set([...named, ...aliased])]
    }
    const modules = pick(this.#tables.modules.keys(), this.#aliases)
    const builtin = pick(this.#tables.builtin, this.#builtinAliases)
    return modules.length + builtin.length > 0 ? { modules, builtin } : undefined
  }

  #addProbe(name: string): void {
    if (this.#visited.has(name)) return
    this.#visited.add(name)
    for (const dependency of this.#tables.modules.get(name)?.dependencies ?? []) {
      if (!this.#neededBy.has(dependency)) this.#neededBy.set(dependency, name)
      this.#addWithSoft(dependency)
    }
    this.#addWithSoft(name)
  }

  #addWithSoft(name: string): void {
    const soft = this.#tables.softDependencies.get(name)
    for (const wanted of soft?.pre ?? []) this.want(wanted)
    this.#order.add(name)
    for (const wanted of soft?.post ?? []) this.want(wanted)
  }
}

function matching(aliases: readonly Alias[], text: string): string[] {
  return [...new Set(aliases.filter(([pattern]) => fnmatch(pattern, text)).map(([, name]) => name))]
}
