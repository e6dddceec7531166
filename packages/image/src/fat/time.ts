/** Times as FAT has them: local ones, which are taken for UTC here, in steps of two seconds from 1980 to 2107 (6.7). */

/** 1980-01-01 00:00:00 and 2107-12-31 23:59:59. */
const secondsMin = 315_532_800
const secondsMax = 4_354_819_199

/** A time in the three fields of an entry. */
export interface FatTime {
  readonly date: number
  readonly time: number
  /** What `time` leaves out, in hundredths of a second; only the time of creation has it. */
  readonly hundredths: number
}

/**
 * A time as the fields of an entry.
 *
 * @param seconds - since 1970; before 1980 means 1980
 * @throws RangeError after 2107
 */
export function encodeTime(path: string, seconds: number): FatTime {
  if (seconds > secondsMax) throw new RangeError(`${path}: mtimeSeconds is ${seconds}, FAT ends with 2107`)
  const moment = new Date(Math.max(seconds, secondsMin) * 1000)
  const date =
    ((moment.getUTCFullYear() - 1980) << 9) | ((moment.getUTCMonth() + 1) << 5) | moment.getUTCDate()
  const time =
    (moment.getUTCHours() << 11) | (moment.getUTCMinutes() << 5) | Math.floor(moment.getUTCSeconds() / 2)
  return { date, time, hundredths: (moment.getUTCSeconds() % 2) * 100 }
}

/** Seconds since 1970. Days and hours that do not exist run over into the next; a date of 0 is 1980. */
export function decodeTime(date: number, time: number): number {
  const [year, month, day] = [1980 + (date >> 9), (date >> 5) & 0x0f, date & 0x1f]
  const [hours, minutes, seconds] = [time >> 11, (time >> 5) & 0x3f, (time & 0x1f) * 2]
  return Date.UTC(year, Math.max(month, 1) - 1, Math.max(day, 1), hours, minutes, seconds) / 1000
}
