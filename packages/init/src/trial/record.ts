/**
 * What a slot leaves behind on the data partition for the one that comes after it: a trial's record, written before
 * anything of it can go wrong, and why the last release was given up.
 */
import type { Rollback } from '../boot-state.ts'
import { readIfThere, removeSafely, writeSafely } from '../shell/safe-file.ts'
import { makeFolder } from '../shell/cgroup.ts'

/** How a trial ended. */
export interface Verdict {
  /** Whether its slot was blessed. */
  readonly passed: boolean
  /** Why not, in words; empty when it has passed. */
  readonly reason: string
  /** When, as ISO 8601 in UTC. */
  readonly at: string
}

/** A release that is tried, or was given up. */
export interface TrialRecord {
  /** Its slot. */
  readonly slot: string
  /** Its version; null where it is not known. */
  readonly version: string | null
  /** Its release counter; null where it is not known. */
  readonly counter: number | null
  /** How often it has got as far as this record. */
  readonly tries: number
  /** What it was doing when it was last seen. */
  readonly step: string
  /** How it ended; null as long as it has not, which it never does when the machine dies. */
  readonly verdict: Verdict | null
}

/** The records in a folder. */
export interface Records {
  /** The trial's; null where there is none, or none that can be read. */
  trial(): TrialRecord | null
  /** Replaces the trial's. */
  writeTrial(record: TrialRecord): void
  /** The last rollback; null where there was none. */
  rollback(): Rollback | null
  /** Replaces it; null removes it. */
  writeRollback(rollback: Rollback | null): void
}

/** The records below the folder of PID 1's state: `/var/lib/solo`. */
export function records(stateFolder: string): Records {
  const folder = `${stateFolder}/boot`
  const write = (name: string, value: object): void => {
    makeFolder(stateFolder)
    makeFolder(folder)
    writeSafely(`${folder}/${name}`, new TextEncoder().encode(`${JSON.stringify(value, null, 2)}\n`), 0o644)
  }
  return {
    trial: () => readRecord<TrialRecord>(`${folder}/trial.json`, 'slot'),
    writeTrial: (record) => write('trial.json', record),
    rollback: () => readRecord<Rollback>(`${folder}/rollback.json`, 'from'),
    writeRollback(rollback) {
      if (rollback === null) removeSafely(`${folder}/rollback.json`)
      else write('rollback.json', rollback)
    },
  }
}

/** A file of PID 1's own. One that is damaged is as good as none: it decides about nothing but what is told. */
function readRecord<T extends object>(path: string, key: keyof T): T | null {
  const text = readIfThere(path)
  if (text === undefined) return null
  try {
    const value = JSON.parse(text) as T | null
    return typeof value === 'object' && value !== null && key in value ? value : null
  } catch {
    return null
  }
}
