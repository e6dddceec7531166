/** The pinned Bun: the one on PATH when it is that version, else from npm into `.cache/bun-<version>/`. */
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, symlinkSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { runStep } from './children.mjs'
import { say, secondsSince, SetupError } from './report.mjs'

/**
 * @param {string} root - the repository's folder
 * @param {NodeJS.ProcessEnv} environment
 * @returns {Promise<string>} the path of a `bun` of the version that package.json's `packageManager` names
 */
export async function ensureBun(root, environment) {
  const { packageManager } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  const version = packageManager.replace(/^bun@/, '')
  const cache = join(root, '.cache')
  const installed = join(cache, `bun-${version}`, 'bun')
  // Put in place by one rename: when it is there, it is whole.
  if (existsSync(installed)) return installed
  const onPath = findOnPath('bun')
  if (onPath !== undefined && bunVersion(onPath) === version) return onPath
  await installBun(version, cache, environment)
  return installed
}

/**
 * npm unpacks into a folder of this process's own; only the tested program is moved to its final name.
 *
 * @param {string} version
 * @param {string} cache
 * @param {NodeJS.ProcessEnv} environment
 */
async function installBun(version, cache, environment) {
  const startedMs = performance.now()
  say(`installing Bun ${version} from npm (the runtime that everything here runs on; about 40 MB, once)`)
  mkdirSync(cache, { recursive: true })
  removeLeftovers(cache)
  const work = join(cache, `partial-${process.pid}`)
  try {
    mkdirSync(work)
    // The install script only copies the program from the platform's package, which we do ourselves;
    // npm 11 does not run it anyway. The command line's loglevel wins over .npmrc's `silent`.
    await runStep(
      'npm install bun',
      [
        'npm',
        'install',
        '--prefix',
        work,
        '--ignore-scripts',
        '--no-audit',
        '--no-fund',
        '--loglevel=error',
        `bun@${version}`,
      ],
      { cwd: work, env: environment },
    )
    const program = platformPrograms(work).find((path) => bunVersion(path) === version)
    if (program === undefined) {
      throw new SetupError(`Bun ${version} from npm does not run on this machine (${process.arch})`, [
        `install Bun ${version} by hand so that \`bun --version\` prints ${version}, and run this again`,
      ])
    }
    const ready = join(work, 'ready')
    mkdirSync(ready)
    renameSync(program, join(ready, 'bun'))
    symlinkSync('bun', join(ready, 'bunx'))
    moveIntoPlace(ready, join(cache, `bun-${version}`))
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
  say(`Bun ${version} is in place (${secondsSince(startedMs)})`)
}

/** @param {string} work */
function platformPrograms(work) {
  const scope = join(work, 'node_modules/@oven')
  if (!existsSync(scope)) return []
  return readdirSync(scope)
    .map((name) => join(scope, name, 'bin/bun'))
    .filter((path) => existsSync(path))
}

/**
 * @param {string} from
 * @param {string} to - another run may have made it meanwhile: then that one stays
 */
function moveIntoPlace(from, to) {
  try {
    renameSync(from, to)
  } catch (error) {
    if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error
  }
}

/**
 * A run that was killed outright could not clean up; its successor does.
 *
 * @param {string} cache
 */
function removeLeftovers(cache) {
  for (const name of readdirSync(cache)) {
    const pid = /^partial-(\d+)$/.exec(name)?.[1]
    if (pid !== undefined && !existsSync(`/proc/${pid}`))
      rmSync(join(cache, name), { recursive: true, force: true })
  }
}

/** @param {string} path */
function bunVersion(path) {
  try {
    return execFileSync(path, ['--version'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim()
  } catch {
    // A program for another libc or processor does not start at all.
    return undefined
  }
}

/** @param {string} name */
function findOnPath(name) {
  const folders = (process.env.PATH ?? '').split(delimiter).filter((folder) => folder.startsWith('/'))
  return folders.map((folder) => join(folder, name)).find((path) => existsSync(path))
}
