// When a build's sources were last changed, by what is the same for everybody who has them: times of files are those of
// a copy or a checkout.
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { WRITTEN_MS } from '@pkg/init/boot-state'
import { errorCode } from '@pkg/vm/host'
import { SoloError } from '../error.ts'

const run = promisify(execFile)

/**
 * What `SOURCE_DATE_EPOCH` says, in seconds since 1970; undefined where it says nothing.
 *
 * @throws SoloError it is no such number
 * @see https://reproducible-builds.org/specs/source-date-epoch/
 */
export function sourceDateEpoch(): number | undefined {
  const text = process.env['SOURCE_DATE_EPOCH']
  if (text === undefined) return undefined
  // newc holds 32 bits.
  if (/^\d{1,10}$/.test(text) && Number(text) <= 0xffff_ffff) return Number(text)
  throw new SoloError(`SOURCE_DATE_EPOCH: expected seconds since 1970, got ${JSON.stringify(text)}`, {
    exitStatus: 2,
  })
}

/**
 * When the last commit was made of the git repository that a folder is in; where it is in none, the date of our own
 * sources, which are in the image as well. In seconds since 1970.
 *
 * @param onNote - hears why a repository that is there was not asked
 */
export async function sourceDate(folder: string, onNote: (line: string) => void): Promise<number> {
  const writtenSeconds = WRITTEN_MS / 1000
  // The files of the repository only, not what a hook or an editor has set for another one. A repository of another
  // user is read as well: that an image is built as root must not give it another date.
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('GIT_')))
  const options = { cwd: folder, env: { ...env, LC_ALL: 'C' } }
  try {
    const { stdout } = await run('git', ['-c', 'safe.directory=*', 'cat-file', 'commit', 'HEAD'], options)
    const seconds = Number(/^committer .*> (\d{1,10}) [+-]\d{4}$/m.exec(stdout)?.[1])
    // A commit may say any date; an image that has our sources is not older than they are.
    return Math.max(writtenSeconds, Number.isNaN(seconds) ? 0 : seconds)
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error)
    // No git, no repository, none with a commit.
    if (errorCode(error) !== 'ENOENT' && !/not a git repository|Not a valid object name/.test(text)) {
      onNote(`git does not tell the date of the sources: ${text.trim().split('\n').at(-1)}`)
    }
    return writtenSeconds
  }
}
