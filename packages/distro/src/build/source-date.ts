// When a build's sources were last changed. Only who builds can say: files have the times of a copy or a checkout, and
// a repository has a date that a copy of its files does not have.
import { SoloError } from '../error.ts'

/**
 * What `SOURCE_DATE_EPOCH` says, in seconds since 1970; undefined where it says nothing.
 *
 * @throws SoloError it is no such number
 * @see https://reproducible-builds.org/specs/source-date-epoch/
 */
export function sourceDateEpoch(): number | undefined {
  const text = process.env['SOURCE_DATE_EPOCH']
  if (text === undefined) return undefined
  // newc holds 32 bits.
  if (/^\d{1,10}$/.test(text) && Number(text) <= 0xffff_ffff) return Number(text)
  throw new SoloError(`SOURCE_DATE_EPOCH: expected seconds since 1970, got ${JSON.stringify(text)}`, {
    exitStatus: 2,
  })
}
