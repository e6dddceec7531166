/** The one check of every time that a caller gives. */

/**
 * `value`, if it is a time in milliseconds: setTimeout fires at once for what is no number, and for more than
 * 2^31 - 1 ms.
 *
 * @throws TypeError no number; RangeError not above 0, or more than 24 days that are not `Infinity`
 */
export function duration(option: string, value: number): number {
  if (typeof value !== 'number') throw new TypeError(`${option}: ${String(value)} is not a number`)
  if (value === Number.POSITIVE_INFINITY) return value
  if (Number.isFinite(value) && value > 0 && value < 2 ** 31) return value
  throw new RangeError(`${option}: ${value} is not a time in milliseconds above 0 (24 days at most)`)
}

/** Checks the times among `options` that are given. @throws as {@link duration} */
export function checkDurations<T extends object>(options: T, names: readonly (keyof T & string)[]): void {
  for (const name of names) {
    const value = options[name]
    if (value !== undefined) duration(name, value as number)
  }
}
