/**
 * What has to be done to the data of a service before its code may see them. Pure: it is given what is recorded and what
 * is there, and names one thing to do; when that is done it is asked again, until there is nothing. So a power cut at
 * any time needs no way back of its own: what is found then is a state like any other.
 *
 * ```
 *  recorded                                 this code          → what is done
 *  nothing, and no files                                       the code's version is recorded
 *  nothing, but files                                          version 1 is recorded: it was not said before
 *  a snapshot was being put back                               that is finished
 *  a migration was begun, with a snapshot                      the snapshot is put back
 *  a migration was begun, without           can work with it   it is begun again, or left to the newer code
 *  an older version                                            snapshot, where this code's data would be unreadable
 *                                                              to the older one; migration
 *  a newer version                          can work with it   nothing
 *  a newer version                          cannot             the newest snapshot that it can use is put back, or
 *                                                              the service is not started
 * ```
 */

/** A version of data. */
export interface DataVersion {
  /** The format. */
  readonly version: number
  /** The least version whose code can work with it. */
  readonly readableBy: number
}

/** What is recorded about the data of a service. */
export interface DataRecord extends DataVersion {
  /** The version that a migration is under way to, or was when it ended without success; else null. */
  readonly unfinished: DataVersion | null
  /** The version whose snapshot is being put back; else null. */
  readonly restoring: DataVersion | null
}

/** What there is to see. */
export interface DataView {
  /** What the code that runs writes, and who could read that. */
  readonly code: DataVersion
  /** What is recorded; null when nothing is. */
  readonly record: DataRecord | null
  /** Whether there are any files. */
  readonly hasFiles: boolean
  /** The snapshots that are whole. */
  readonly snapshots: readonly DataVersion[]
}

/** What is to be done. */
export type DataDecision =
  /** The service may start. */
  | { readonly do: 'start' }
  /** This version is to be recorded; the data stay as they are. */
  | { readonly do: 'record'; readonly version: DataVersion }
  /** The data are to be brought to the version of the code. */
  | { readonly do: 'migrate'; readonly withSnapshot: boolean }
  /** The snapshot of this version is to be put in the place of the data. */
  | { readonly do: 'restore'; readonly snapshot: DataVersion }
  /** The service must not be started. */
  | { readonly do: 'refuse'; readonly reason: string }

/** What data are whose service never said: those of before it did. */
export const UNDECLARED: DataVersion = { version: 1, readableBy: 1 }

/** The next thing to do. */
export function decide({ code, record, hasFiles, snapshots }: DataView): DataDecision {
  if (record === null) return { do: 'record', version: hasFiles ? UNDECLARED : code }
  if (record.restoring !== null) return { do: 'restore', snapshot: record.restoring }
  if (record.unfinished !== null) return goOn(code, record, record.unfinished, snapshots)
  if (record.version === code.version) {
    const isKnown = record.readableBy === code.readableBy
    return isKnown ? { do: 'start' } : { do: 'record', version: code }
  }
  if (record.version < code.version) return migration(code, record)
  if (record.readableBy <= code.version) return { do: 'start' }
  const usable = snapshots
    .filter(({ version }) => version < record.version)
    .filter(({ version, readableBy }) => version <= code.version || readableBy <= code.version)
  const snapshot = usable.toSorted((a, b) => b.version - a.version)[0]
  if (snapshot !== undefined) return { do: 'restore', snapshot }
  return refuse(record, code, 'there is no snapshot that it can read')
}

/** A migration was begun: the data are neither of the one version nor of the other. */
function goOn(
  code: DataVersion,
  record: DataRecord,
  unfinished: DataVersion,
  snapshots: readonly DataVersion[],
): DataDecision {
  if (unfinished.readableBy > record.version) {
    const snapshot = snapshots.find(({ version }) => version === record.version)
    if (snapshot !== undefined) return { do: 'restore', snapshot }
    return refuse(unfinished, code, `the snapshot of version ${record.version} is gone`)
  }
  if (code.version > record.version) return migration(code, record)
  if (code.version === record.version) return { do: 'start' }
  if (Math.max(record.readableBy, unfinished.readableBy) <= code.version) return { do: 'start' }
  return refuse(unfinished, code, 'a migration to it was begun')
}

function migration(code: DataVersion, { version }: DataVersion): DataDecision {
  return { do: 'migrate', withSnapshot: code.readableBy > version }
}

function refuse(found: DataVersion, code: DataVersion, why: string): DataDecision {
  const cannot = `its data are of version ${found.version}, which code for version ${code.version} cannot read`
  return { do: 'refuse', reason: `${cannot}, and ${why}; nothing was changed` }
}
