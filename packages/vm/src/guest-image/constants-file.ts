/**
 * `@pkg/sys/constants` as data, for functions in a guest. Within the agent's bundle its ten thousand names were more
 * than half of what Bun has to do before the agent runs, each time, and hardly anybody asks for them.
 */
import * as constants from '@pkg/sys/constants'
import type { ConstantsFile } from '../guest/constants.ts'

/** The text of the file that the agent reads. It holds the values of every architecture. */
export function constantsFile(): string {
  const { differing, ...all } = constants
  const values: Record<string, number> = {}
  const bigints: Record<string, string> = {}
  for (const [name, value] of Object.entries<number | bigint | undefined>(all)) {
    if (typeof value === 'bigint') bigints[name] = String(value)
    // Undefined: of the other architecture only, and among `differing`.
    else if (value !== undefined) values[name] = value
  }
  return JSON.stringify({ values, bigints, differing } satisfies ConstantsFile)
}
