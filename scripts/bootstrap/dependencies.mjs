/** The npm packages of the lock file: installed by Bun when what they depend on has changed, and only then. */
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { runStep } from './children.mjs'
import { say, secondsSince } from './report.mjs'

/** The fields of a package.json that an installation follows; a changed `exports` needs none. */
const installFields = [
  'name',
  'version',
  'bin',
  'workspaces',
  'dependencies',
  'devDependencies',
  'optionalDependencies',
  'peerDependencies',
]

/**
 * @param {string} root
 * @param {string} bun
 * @param {NodeJS.ProcessEnv} environment
 */
export async function ensureDependencies(root, bun, environment) {
  const folders = workspaceFolders(root)
  const wanted = digest(root, folders)
  const stamp = join(root, 'node_modules/.solo-installed')
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted) return

  const startedMs = performance.now()
  say('installing the packages of bun.lock (tools and libraries that the command needs)')
  // Bun takes a package folder with the right package.json for a whole one. So after an interrupted
  // installation nothing of it may stay.
  const unfinished = join(root, '.cache/installing')
  mkdirSync(join(root, '.cache'), { recursive: true })
  if (existsSync(unfinished)) removeModules(folders)
  writeFileSync(unfinished, '')
  try {
    await runStep('bun install', [bun, 'install', '--frozen-lockfile'], { cwd: root, env: environment })
  } catch (error) {
    removeModules(folders)
    rmSync(unfinished, { force: true })
    throw error
  }
  writeFileSync(`${stamp}.new`, wanted)
  renameSync(`${stamp}.new`, stamp)
  rmSync(unfinished, { force: true })
  say(`packages are in place (${secondsSince(startedMs)})`)
}

/**
 * @param {string} root
 * @returns {string[]} the root and every workspace folder
 */
function workspaceFolders(root) {
  const { workspaces } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  const folders = workspaces.flatMap((pattern) => {
    if (!pattern.endsWith('/*')) return [join(root, pattern)]
    const parent = join(root, pattern.slice(0, -2))
    return readdirSync(parent)
      .toSorted()
      .map((name) => join(parent, name))
  })
  return [root, ...folders.filter((folder) => existsSync(join(folder, 'package.json')))]
}

/**
 * @param {string} root
 * @param {string[]} folders
 */
function digest(root, folders) {
  const hash = createHash('sha256')
  hash.update(readFileSync(join(root, 'bun.lock')))
  for (const folder of folders) {
    const manifest = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
    hash.update(JSON.stringify(installFields.map((field) => manifest[field] ?? null)))
  }
  return hash.digest('hex')
}

/** @param {string[]} folders */
function removeModules(folders) {
  for (const folder of folders) rmSync(join(folder, 'node_modules'), { recursive: true, force: true })
}
