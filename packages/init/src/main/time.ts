/** The machine's clock, from the boot to the shutdown. */
import { makeClock, type Clock } from '../clock/clock.ts'
import type { Synchroniser } from '../clock/synchronise.ts'
import { type ReleaseIdentity, WRITTEN_MS } from '../boot-state.ts'
import type { LogPriority } from '../core.ts'

/** What keeping the time needs. */
export interface TimeContext {
  /** What the image says of itself. */
  readonly release: ReleaseIdentity | null
  /** The plan's servers. */
  readonly servers: readonly string[]
  /** Whether the clock is ours to set. */
  readonly ownsClock: boolean
  /** Whether /var is kept over a restart. */
  readonly keeps: () => boolean
  /** Where the time comes from has changed. */
  readonly onChange: () => void
  /** Writes a line of PID 1's. */
  readonly log: (priority: LogPriority, text: string) => void
}

/** The clock and what it is kept right by. */
export interface TimeKeeping {
  /** The clock. */
  readonly clock: Clock
  /** Boot step: not before the build. */
  floor(): string
  /** Boot step, with /var: not before the time that was saved. */
  restore(): string
  /** The network is there: asks servers, if there are any. */
  start(): void
  /** DHCP names these servers; they come before the plan's. */
  namedByNetwork(addresses: readonly string[]): void
  /** Saves the time. */
  save(): void
}

/** Where the time is saved. */
const FILE = '/var/lib/solo/clock'

/** A machine without a clock of its own that loses its power is wrong by so much, and by the time that it was off. */
const SAVE_EVERY_MS = 3_600_000

/** Makes it. */
export function keepTime(context: TimeContext): TimeKeeping {
  const { release, servers, ownsClock, keeps, onChange, log } = context
  // A build with SOURCE_DATE_EPOCH=0 says 1970.
  const clock = makeClock(Math.max(WRITTEN_MS, release === null ? 0 : Date.parse(release.created)))
  let named: readonly string[] = []
  let synchroniser: Promise<Synchroniser> | null = null

  function save(): void {
    if (!ownsClock || !keeps()) return
    try {
      clock.save(FILE)
    } catch (error) {
      log('error', `clock: ${error instanceof Error ? error.message : String(error)}`)
    }
  }

  function onCorrected(): void {
    save()
    onChange()
  }

  function start(): void {
    if (!ownsClock || synchroniser !== null || named.length + servers.length === 0) return
    synchroniser = import('../clock/synchronise.ts').then(({ synchronise }) => {
      return synchronise({ clock, log, servers: () => [...named, ...servers], onCorrected })
    })
  }

  if (ownsClock) setInterval(save, SAVE_EVERY_MS)
  return {
    clock,
    floor: () => (ownsClock ? clock.floor() : 'not ours to set'),
    restore: () => (ownsClock && keeps() ? clock.restore(FILE) : 'none'),
    start,
    namedByNetwork(addresses) {
      if (addresses.join() === named.join()) return
      named = addresses
      void synchroniser?.then((running) => running.serversChanged())
      start()
    },
    save,
  }
}
