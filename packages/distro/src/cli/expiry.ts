// When something ends: a time from now, or a date.

const unitSeconds: Readonly<Record<string, number>> = { h: 3600, d: 86_400, w: 7 * 86_400 }

/**
 * `--expires`: `12h`, `30d`, `4w`, a date or a time.
 *
 * @returns seconds since 1970
 */
export function parseExpiry(text: string): number {
  const nowSeconds = Math.floor(Date.now() / 1000)
  const [, count, unit = ''] = /^([1-9]\d{0,4})([hdw])$/.exec(text) ?? []
  if (count !== undefined) return nowSeconds + Number(count) * (unitSeconds[unit] ?? 0)
  const isTime = /^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d)?Z)?$/.test(text)
  const seconds = isTime ? Date.parse(text) / 1000 : Number.NaN
  if (Number.isNaN(seconds)) {
    throw new SyntaxError(
      `expected a time from now (12h, 30d, 4w) or 2027-11-30, got ${JSON.stringify(text)}`,
    )
  }
  if (seconds <= nowSeconds) throw new SyntaxError(`expected a time to come, got ${text}`)
  return seconds
}
