/** How the boot stands, kept in one place, and told to everyone by a file. */
import {
  parseReleaseIdentity,
  RELEASE_FILE,
  type BootState,
  type ClockSource,
  type ReleaseIdentity,
} from '../boot-state.ts'
import type { LogPriority } from '../core.ts'
import { AT_FDCWD, O_CLOEXEC, O_CREAT, O_TRUNC, O_WRONLY } from '@pkg/sys/constants'
import { openat, renameat2 } from '@pkg/sys/fs'
import { writeAll } from '@pkg/sys/io'
import { readIfThere } from '../shell/safe-file.ts'

type Log = (priority: LogPriority, text: string) => void

/** The keeper. */
export interface BootKeeper {
  /** How the boot stands. */
  readonly state: BootState
  /** Changes it, and tells. */
  update(changes: Partial<BootState>): void
  /** From now on it is told by this file, which is replaced as a whole. */
  tellBy(path: string): void
}

/**
 * The beginning: nothing is known but what the image says of itself.
 *
 * @param onChange - called after each change
 */
export function keepBootState(
  release: ReleaseIdentity | null,
  clock: ClockSource,
  log: Log,
  onChange: () => void,
): BootKeeper {
  let state: BootState = {
    slot: null,
    entry: null,
    release,
    trial: false,
    blessed: false,
    disk: null,
    partitions: { esp: null, 'root-a': null, 'root-b': null, data: null },
    lastRollback: null,
    counterFloor: release?.counter ?? 0,
    clock,
  }
  let file: string | null = null

  function tell(): void {
    if (file === null) return
    try {
      replace(file, `${JSON.stringify(state, null, 2)}\n`)
    } catch (error) {
      log('error', `${file}: ${error instanceof Error ? error.message : String(error)}`)
    }
  }

  return {
    get state() {
      return state
    },
    update(changes) {
      state = { ...state, ...changes }
      tell()
      onChange()
    },
    tellBy(path) {
      file = path
      tell()
    },
  }
}

/** What the image says of itself; null where it says nothing, or what cannot be used. */
export function readRelease(log: Log, path: string = RELEASE_FILE): ReleaseIdentity | null {
  try {
    const text = readIfThere(path)
    return text === undefined ? null : parseReleaseIdentity(text, path)
  } catch (error) {
    log('error', error instanceof Error ? error.message : String(error))
    return null
  }
}

/** /run is memory: a reader must never see half of it, but no disk has to be waited for. */
function replace(path: string, text: string): void {
  const temporary = `${path}.new`
  {
    using opened = openat(AT_FDCWD, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
    writeAll(opened, new TextEncoder().encode(text))
  }
  renameat2(AT_FDCWD, temporary, AT_FDCWD, path)
}
