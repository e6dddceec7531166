/** Signals by their names, as Node gives them, and by their numbers, as the kernel does. */
import { constants } from 'node:os'

/** The number of a signal; null for null. */
export function signalNumber(name: string | null): number | null {
  if (name === null) return null
  return (constants.signals as Readonly<Record<string, number>>)[name] ?? null
}
