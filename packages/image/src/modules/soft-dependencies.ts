/** Lines of modules.softdep and modules.weakdep. */
import { canonicalName } from './modinfo.ts'

/** What should be loaded before and after a module, by name or alias, if it is there. */
export interface SoftDependencies {
  readonly pre: readonly string[]
  readonly post: readonly string[]
}

/**
 * `softdep NAME pre: A B post: C`; words before the first of both count for nothing, as in modprobe.
 *
 * A module may have several lines (btrfs has four). modprobe (kmod 30, libkmod-module.c) stops at the first; the
 * kernel's authors meant all, and an image without them fails when they are asked for: all are taken.
 */
export function parseSoftDependencies(texts: readonly string[]): Map<string, SoftDependencies> {
  const all = new Map<string, SoftDependencies>()
  for (const text of texts) {
    const [keyword, name, ...words] = text.split(/\s+/)
    if (keyword !== 'softdep' || name === undefined) continue
    const found = { pre: [] as string[], post: [] as string[] }
    let list: string[] | undefined
    for (const word of words) {
      if (word === 'pre:' || word === 'post:') list = word === 'pre:' ? found.pre : found.post
      else list?.push(word)
    }
    const before = all.get(canonicalName(name))
    const pre = [...(before?.pre ?? []), ...found.pre]
    all.set(canonicalName(name), { pre, post: [...(before?.post ?? []), ...found.post] })
  }
  return all
}

/** `weakdep NAME A B`. */
export function parseWeakDependencies(texts: readonly string[]): Map<string, string[]> {
  const all = new Map<string, string[]>()
  for (const text of texts) {
    const [keyword, name, ...words] = text.split(/\s+/)
    if (keyword !== 'weakdep' || name === undefined) continue
    all.set(canonicalName(name), [...(all.get(canonicalName(name)) ?? []), ...words])
  }
  return all
}
