/** In which order modules are loaded: pure, so that the host can plan with it what the guest does. */
import type { ModuleIndex } from '@pkg/image/modules'

/** `wanted`, each after what it needs; soft dependencies may go in circles. Names have `_` for `-`. */
export function loadOrder(index: Pick<ModuleIndex, 'modules'>, wanted: readonly string[]): string[] {
  const order = new Set<string>()
  const underway = new Set<string>()
  const visit = (given: string): void => {
    const name = canonicalName(given)
    if (order.has(name) || underway.has(name)) return
    underway.add(name)
    const entry = index.modules[name]
    for (const before of [...(entry?.softPre ?? []), ...(entry?.dependencies ?? [])]) visit(before)
    order.add(name)
    for (const after of entry?.softPost ?? []) visit(after)
  }
  for (const name of wanted) visit(name)
  return [...order]
}

/** `-` and `_` are one in names of modules. */
export function canonicalName(name: string): string {
  return name.replaceAll('-', '_')
}
