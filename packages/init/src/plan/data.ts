/** The part of a service's plan that is about the format of its data. */
import { readHook, type HookPlan, type HookTime } from './hook.ts'
import {
  below,
  maxTimeMs,
  readArray,
  readBoolean,
  readInteger,
  readObject,
  readString,
  report,
  type Problems,
} from './read.ts'

/** What a service says of its data. One that says nothing is taken for version 1. */
export interface DataPlan {
  /** The version of the format that its code writes; from 1. */
  readonly version: number
  /**
   * The least version whose code can still work with what this code writes. Default: `version`, none but this. Where
   * it is not above the version that is found, no snapshot is made, and the migration has to bear being run again.
   */
  readonly readableBy: number
  /** The folders below /var that hold it, all that service and migration write. */
  readonly folders: readonly string[]
  /**
   * Migrates it, before any service is started; it finds the two versions in `SOLO_DATA_FROM` and `SOLO_DATA_TO`. Has 300
   * seconds, unless it says otherwise. null, the default, where the service does so itself, at its start.
   */
  readonly migrate: HookPlan | null
  /** Whether the snapshot stays after the blessing, until the next migration. Default: true. */
  readonly keepSnapshot: boolean
}

const MIGRATION_TIME: HookTime = { normalMs: 300_000, mostMs: maxTimeMs }

const dataKeys = ['version', 'readableBy', 'folders', 'migrate', 'keepSnapshot']

/** Without `.` and `..`; not PID 1's own folder, nor one around it. */
const folderPattern = /^\/var(?!\/lib\/?$)(?!\/lib\/solo(\/|$))(\/(?!\.{1,2}(\/|$))[^\0/]+)+$/

/** Reads `data` of a service. */
export function readData(problems: Problems, path: string, value: unknown): DataPlan | null {
  if (value === null) return null
  const data = readObject(problems, path, value, dataKeys)
  const at = (key: string): string => below(path, key)
  const version = readInteger(problems, at('version'), data['version'], 1, Number.MAX_SAFE_INTEGER)
  const folders = readArray(problems, at('folders'), data['folders'], (where, each) =>
    readString(problems, where, each, 'a folder below /var, but not /var/lib/solo', folderPattern),
  )
  if (Array.isArray(data['folders']) && folders.length === 0) {
    report(problems, at('folders'), 'at least one folder', data['folders'])
  }
  return {
    version,
    readableBy: readInteger(problems, at('readableBy'), data['readableBy'] ?? version, 1, version),
    folders,
    migrate: readHook(problems, at('migrate'), data['migrate'] ?? null, MIGRATION_TIME),
    keepSnapshot: readBoolean(problems, at('keepSnapshot'), data['keepSnapshot'] ?? true),
  }
}

/** Two services, or two entries, must not keep the same: what one puts back the other would lose. */
export function checkDataFolders(
  problems: Problems,
  services: readonly { readonly data: DataPlan | null }[],
): void {
  const seen: string[] = []
  for (const [index, { data }] of services.entries()) {
    for (const [place, folder] of (data?.folders ?? []).entries()) {
      if (folder === '') continue
      const other = seen.find((each) => isWithin(each, folder) || isWithin(folder, each))
      const path = `services[${index}].data.folders[${place}]`
      if (other !== undefined) report(problems, path, `a folder apart from ${other}`, folder)
      seen.push(folder)
    }
  }
}

function isWithin(folder: string, other: string): boolean {
  return `${folder}/`.startsWith(`${other}/`)
}
