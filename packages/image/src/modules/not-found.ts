/** The error for a module that a kernel does not have. */

/**
 * A wanted module is neither a module of the folder, nor an alias, nor part of the kernel.
 *
 * @example
 * ```ts
 * import { ModuleNotFoundError, moduleClosure } from '@pkg/image/modules'
 *
 * try {
 *   await moduleClosure({ modulesFolder: '/etc', wanted: ['virtio_nte'] })
 * } catch (error) {
 *   if (error instanceof ModuleNotFoundError) console.log(error.wanted, error.similar)
 * }
 * ```
 */
export class ModuleNotFoundError extends Error {
  override readonly name = 'ModuleNotFoundError'
  /** What was wanted. */
  readonly wanted: string
  /** Names that the kernel has and that look alike; may be empty. */
  readonly similar: readonly string[]

  /**
   * @param wanted - the name or modalias
   * @param folder - where it was looked for
   * @param similar - names that look alike
   */
  constructor(wanted: string, folder: string, similar: readonly string[]) {
    const hint = similar.length > 0 ? `; there is ${similar.join(', ')}` : ''
    super(
      `${wanted}: ${folder} has no module or alias of that name, and it is not built into the kernel${hint}`,
    )
    this.wanted = wanted
    this.similar = similar
  }
}

const similarMax = 3

/** The names nearest to `wanted`: up to two letters changed, or one in the other. */
export function similarNames(wanted: string, names: readonly string[]): string[] {
  const rated = names
    .map((name) => ({ name, distance: distanceOf(wanted, name) }))
    .filter(({ distance }) => distance <= 2)
  return rated
    .toSorted((left, right) => left.distance - right.distance || (left.name < right.name ? -1 : 1))
    .slice(0, similarMax)
    .map(({ name }) => name)
}

function distanceOf(left: string, right: string): number {
  if (left.length >= 4 && right.includes(left)) return 2
  if (Math.abs(left.length - right.length) > 2) return Number.POSITIVE_INFINITY
  // Levenshtein's, a row at a time.
  let row = Array.from({ length: right.length + 1 }, (_, index) => index)
  for (const [index, letter] of Array.from(left).entries()) {
    const next = [index + 1]
    for (const [column, other] of Array.from(right).entries()) {
      const change = (row[column] ?? 0) + (letter === other ? 0 : 1)
      next.push(Math.min(change, (row[column + 1] ?? 0) + 1, (next[column] ?? 0) + 1))
    }
    row = next
  }
  return row.at(-1) ?? Number.POSITIVE_INFINITY
}
