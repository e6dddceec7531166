/**
 * The machine's clock. Many machines have none that goes on without power, or one that is wrong; and what a release or a
 * certificate is worth depends on the time. So it is never earlier than the build of the image, never earlier than the
 * last time that it is known to have been, and set by time servers when there are any.
 */
import {
  ADJ_ESTERROR,
  ADJ_MAXERROR,
  ADJ_NANO,
  ADJ_OFFSET,
  ADJ_STATUS,
  CLOCK_REALTIME,
  STA_PLL,
} from '@pkg/sys/constants'
import { clock_adjtime, clock_settime } from '@pkg/sys/time'
import type { ClockSource } from '../boot-state.ts'
import { readIfThere, writeSafely } from '../shell/safe-file.ts'

/** How the clock is reached: the seam that tests replace. */
export interface ClockHands {
  /** The time, in milliseconds since 1970. */
  now(): number
  /** Sets it. Needs CAP_SYS_TIME. */
  set(timeMs: number): void
  /**
   * Has the kernel make up for an offset bit by bit, so that no second comes twice, and take its time for right: without
   * STA_UNSYNC it copies it to the machine's own clock every eleven minutes.
   */
  slew(offsetMs: number): void
}

/** The clock. */
export interface Clock {
  /** Where its time comes from. */
  readonly source: ClockSource
  /** No time before this is right: the image was built then. */
  readonly earliestMs: number
  /** Sets it forward to the time of the build, where it is earlier. */
  floor(): string
  /** Sets it forward to the time in the file, where it is earlier. */
  restore(path: string): string
  /** Keeps the time for a boot without a clock, where this machine has none that can be trusted. */
  save(path: string): void
  /**
   * Corrects it by what a time server says.
   *
   * @returns whether it was set, and not only steered
   */
  correct(offsetMs: number): boolean
}

/** The kernel corrects by at most 0.5 ms a second; what is more than this would take too long (adjtimex(2), MAXPHASE). */
const SLEW_MAX_MS = 400

/** The kernel's clock. */
export const kernelClock: ClockHands = {
  now: () => Date.now(),
  set: (timeMs) => clock_settime(CLOCK_REALTIME, BigInt(Math.round(timeMs * 1e6))),
  slew(offsetMs) {
    clock_adjtime(CLOCK_REALTIME, (timex) => {
      timex.set('modes', ADJ_OFFSET | ADJ_NANO | ADJ_STATUS | ADJ_MAXERROR | ADJ_ESTERROR)
      timex.set('status', STA_PLL)
      timex.set('offset', BigInt(Math.round(offsetMs * 1e6)))
    })
  },
}

/**
 * Makes it.
 *
 * @param earliestMs - when the image was built
 */
export function makeClock(earliestMs: number, hands: ClockHands = kernelClock): Clock {
  let source: ClockSource = 'machine'

  function forward(timeMs: number, to: ClockSource): string {
    const text = new Date(timeMs).toISOString()
    if (hands.now() >= timeMs) return `later than ${text}`
    hands.set(timeMs)
    source = to
    return `set forward to ${text}`
  }

  return {
    earliestMs,
    get source() {
      return source
    },
    floor: () => forward(earliestMs, 'build'),
    restore(path) {
      const text = readIfThere(path)?.trim()
      if (text === undefined) return 'none saved'
      const savedMs = /^\d{1,13}$/.test(text) ? Number(text) : Number.NaN
      return savedMs > earliestMs ? forward(savedMs, 'saved') : 'nothing of use saved'
    },
    save(path) {
      // A clock of the machine's own that is wrong, in the far future say, must not outlive its battery.
      if (source === 'machine') return
      writeSafely(path, new TextEncoder().encode(`${Math.floor(hands.now())}\n`), 0o644)
    },
    correct(offsetMs) {
      source = 'sntp'
      if (Math.abs(offsetMs) <= SLEW_MAX_MS) {
        hands.slew(offsetMs)
        return false
      }
      hands.set(hands.now() + offsetMs)
      hands.slew(0)
      return true
    },
  }
}
