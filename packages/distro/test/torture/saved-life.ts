// A recorded life in a folder: `--keep` leaves it there, and `--replay` judges and boots it again, with any seed.
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Judge, type KnownRelease } from './judge.ts'
import type { Life } from './life.ts'
import { SavedLog, saveLog } from './saved-log.ts'
import type { Phase } from './survey.ts'
import { DataJudge, type KeptFile } from './user-files.ts'

const LIFE = 'life.json'

/** What `life.json` holds. */
interface SavedLife {
  readonly releases: readonly KnownRelease[]
  readonly loaderFiles: readonly (readonly [string, string])[]
  readonly kept: readonly (readonly [string, KeptFile])[]
  readonly installed: readonly (readonly [string, number])[]
  readonly phases: readonly Phase[]
  /** Name of the file with the firmware's variables, by phase. */
  readonly variables: readonly (readonly [string, string])[]
}

/** Writes all of it that {@link loadLife} needs. */
export async function saveLife({ past, judgeOptions, variables }: Life, folder: string): Promise<void> {
  await saveLog(past.log, folder)
  const names = [...variables].map(([phase, path], index) => {
    const name = `variables-${index}.fd`
    copyFileSync(path, join(folder, name))
    return [phase, name] as const
  })
  const saved: SavedLife = {
    releases: judgeOptions.releases,
    loaderFiles: [...judgeOptions.loaderFiles],
    kept: [...past.kept],
    installed: [...past.installed],
    phases: past.phases,
    variables: names,
  }
  writeFileSync(join(folder, LIFE), JSON.stringify(saved))
}

/**
 * A life that was saved.
 *
 * @param scratch - folder for temporary files
 */
export function loadLife(folder: string, scratch: string): Life {
  const saved = JSON.parse(readFileSync(join(folder, LIFE), 'utf8')) as SavedLife
  const { releases, phases } = saved
  const judgeOptions = { releases, loaderFiles: new Map(saved.loaderFiles) }
  const log = new SavedLog(folder)
  return {
    past: {
      ...{ log, phases, judge: new Judge(judgeOptions), data: new DataJudge(scratch) },
      ...{ kept: new Map(saved.kept), installed: new Map(saved.installed) },
    },
    judgeOptions,
    variables: new Map(saved.variables.map(([phase, name]) => [phase, join(folder, name)])),
    [Symbol.asyncDispose]: () => Promise.resolve(log[Symbol.dispose]()),
  }
}
