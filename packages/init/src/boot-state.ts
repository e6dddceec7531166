/**
 * What PID 1 tells of the boot to every program of the machine: `/run/solo/boot.json`, and what the image tells of
 * itself: `/etc/solo/release.json`. Pure: types, paths, and the reading of both.
 */
import { below, readInteger, readObject, readString, report, type Problems } from './plan/read.ts'

/** Where PID 1 writes the {@link BootState}; replaced as a whole whenever it changes, and readable by everyone. */
export const BOOT_STATE_FILE = '/run/solo/boot.json'

/** Where the build writes the {@link ReleaseIdentity} of an image. */
export const RELEASE_FILE = '/etc/solo/release.json'

/** When these sources were written, in milliseconds since 1970: no clock is right that is earlier than this program. */
export const WRITTEN_MS: number = Date.UTC(2026, 10, 30)

/** What an image says of itself. */
export interface ReleaseIdentity {
  /** The appliance that it is of. */
  readonly appliance: string
  /** The version that people read. */
  readonly version: string
  /** The release counter, which rises from release to release. */
  readonly counter: number
  /** The board that it is for. */
  readonly board: string
  /** The processor that it is for: `x86_64` or `aarch64`. */
  readonly architecture: string
  /** When it was built, as ISO 8601 in UTC: no clock of the machine is earlier than this. */
  readonly created: string
}

/** A release that was tried and given up. */
export interface RolledBack {
  /** Its slot: `solo-b`. */
  readonly slot: string
  /** Its version; null when it did not get as far as to say. */
  readonly version: string | null
  /** Its release counter; null when it did not get as far as to say. */
  readonly counter: number | null
}

/** Why the machine runs this slot and not the one that it tried before. */
export interface Rollback {
  /** What was given up. */
  readonly from: RolledBack
  /** Why, in words. */
  readonly reason: string
  /** When it was given up, or when that was noticed: ISO 8601 in UTC, by the clock of then. */
  readonly at: string
}

/**
 * Where the time comes from: `machine`, the machine's own clock, which was later than the other two; `saved`, the last
 * time that the machine is known to have had; `build`, the time of the image's build; `sntp`, a time server. Of the
 * first three none is known to be right.
 */
export type ClockSource = 'machine' | 'saved' | 'build' | 'sntp'

/** The partitions of the machine's disk, as paths of devices; null for one that it has not. */
export interface BootPartitions {
  /** The boot partition. */
  readonly esp: string | null
  /** The root of slot `solo-a`. */
  readonly 'root-a': string | null
  /** The root of slot `solo-b`. */
  readonly 'root-b': string | null
  /** What is /var. */
  readonly data: string | null
}

/** How the boot stands. */
export interface BootState {
  /** The slot that was booted: `solo-a` or `solo-b`; null where nothing is counted (no boot loader of ours). */
  readonly slot: string | null
  /** The boot entry's file as it is now: `soloa+2-1.efi`; null where nothing is counted. */
  readonly entry: string | null
  /** The release that runs; null when the image does not say. */
  readonly release: ReleaseIdentity | null
  /** Whether this boot is a trial: the release was never blessed here, and there is another slot to go back to. */
  readonly trial: boolean
  /** Whether the slot has been given its tries back in this boot. */
  readonly blessed: boolean
  /** The disk that was booted: `/dev/vda`; null when it was not found. */
  readonly disk: string | null
  /** Its partitions. */
  readonly partitions: BootPartitions
  /** The last release that was given up; null when none was, or a later one has been blessed. */
  readonly lastRollback: Rollback | null
  /** No release with a smaller counter may be installed. */
  readonly counterFloor: number
  /** Where the time comes from. */
  readonly clock: ClockSource
}

const releaseKeys = ['appliance', 'version', 'counter', 'board', 'architecture', 'created']

/**
 * Reads the text of {@link RELEASE_FILE}.
 *
 * @param source - name of the file, for messages
 * @throws TypeError with each mistake in it
 * @example
 * ```ts
 * import { parseReleaseIdentity } from '@pkg/init/boot-state'
 *
 * const text = `{ "appliance": "kiosk", "version": "1.2", "counter": 3, "board": "generic",
 *   "architecture": "x86_64", "created": "2026-11-30T12:00:00Z" }`
 * console.log(parseReleaseIdentity(text, 'release.json').counter) // 3
 * ```
 */
export function parseReleaseIdentity(text: string, source: string): ReleaseIdentity {
  const problems: Problems = []
  const value = readObject(problems, '', jsonOf(text, source), releaseKeys)
  const word = (key: string): string => readString(problems, key, value[key], 'a word', /^[^\s]+$/)
  const identity: ReleaseIdentity = {
    appliance: word('appliance'),
    version: word('version'),
    counter: readInteger(problems, 'counter', value['counter'], 0, Number.MAX_SAFE_INTEGER),
    board: word('board'),
    architecture: word('architecture'),
    created: word('created'),
  }
  if (Number.isNaN(Date.parse(identity.created))) {
    report(problems, below('', 'created'), 'a time as of ISO 8601', value['created'])
  }
  const lines = problems.map(({ path, expected, found }) => {
    return `${source}: ${path === '' ? 'all of it' : path}: expected ${expected}, found ${found}`
  })
  if (lines.length > 0) throw new TypeError(lines.join('\n'))
  return identity
}

function jsonOf(text: string, source: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw new TypeError(
      `${source}: expected JSON: ${error instanceof Error ? error.message : String(error)}`,
      {
        cause: error,
      },
    )
  }
}
