// What release of the appliance this is, and in which slot, as PID 1 tells every program of the machine.
import { BOOT_STATE_FILE, type BootState } from '@pkg/init/boot-state'
import { AT_FDCWD } from '@pkg/sys/constants'
import { readText } from './proc.ts'

/** The release that runs. */
export interface RunningRelease {
  version: string
  /** Rises from release to release. */
  counter: number
  /** `solo-a` or `solo-b`; null on a machine without slots. */
  slot: string | null
  /** `kept`, `on trial`, or `not kept yet`; null without slots. */
  standing: string | null
  /** Why the release before was given up, if it was; in words. */
  lastRollback: string | null
}

/** The release, or null on a machine that Solo did not boot. */
export function readRelease(file: string = BOOT_STATE_FILE): RunningRelease | null {
  const text = readText(AT_FDCWD, file)
  if (text === null) return null
  const { release, slot, blessed, trial, lastRollback } = JSON.parse(text) as BootState
  if (release === null) return null
  const { version, counter } = release
  const standing = blessed ? 'kept' : trial ? 'on trial' : 'not kept yet'
  return {
    ...{ version, counter, slot },
    standing: slot === null ? null : standing,
    lastRollback:
      lastRollback === null
        ? null
        : `${lastRollback.from.version ?? 'a release'} was given up: ${lastRollback.reason}`,
  }
}
