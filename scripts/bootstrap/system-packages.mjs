/**
 * Programs and headers from the distribution, through apt: only those that are missing, each with its reason.
 * The table is system-packages.json; `found` names programs (or absolute paths), any of which will do.
 */
import { accessSync, constants, existsSync, readdirSync, readFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { runStep } from './children.mjs'
import { say, secondsSince, SetupError } from './report.mjs'

const lockRetryMs = 3000
const lockTimeoutMs = 10 * 60_000
/** Directories of administrators' programs, which an ordinary user's PATH often lacks. */
const extraFolders = ['/usr/local/sbin', '/usr/sbin', '/sbin']

/**
 * @typedef {{ package: string, reason: string, commands: string[], found: string[] }} SystemPackage
 */

/**
 * @param {string} command - `start`, `test` …
 * @param {NodeJS.ProcessEnv} environment - its PATH gains the folders of administrators' programs
 */
export async function ensureSystemPackages(command, environment) {
  const searched = [...(process.env.PATH ?? '').split(delimiter), ...extraFolders]
  environment.PATH = `${environment.PATH}:${extraFolders.join(':')}`
  const missing = readTable().filter(
    (entry) => entry.commands.includes(command) && !entry.found.some((name) => isThere(name, searched)),
  )
  if (missing.length === 0) return

  if (findProgram('apt-get', searched) === undefined) {
    throw new SetupError(
      'this machine lacks programs, and has no apt-get to install them with. Please install:',
      describe(missing),
    )
  }
  const asRoot = process.getuid() === 0 ? [] : rootPrefix(searched, missing)
  say(`installing ${missing.length} system package${missing.length === 1 ? '' : 's'} with apt, once:`)
  for (const line of describe(missing)) say(`  ${line}`)
  const startedMs = performance.now()
  await install(missing, asRoot)
  const still = missing.filter((entry) => !entry.found.some((name) => isThere(name, searched)))
  if (still.length > 0) {
    throw new SetupError('apt-get succeeded, but these are still not found:', [
      ...describe(still),
      'was a file removed by hand? apt-get install --reinstall brings it back',
    ])
  }
  say(`system packages are in place (${secondsSince(startedMs)})`)
}

/** @returns {SystemPackage[]} */
function readTable() {
  return JSON.parse(readFileSync(fileURLToPath(new URL('system-packages.json', import.meta.url)), 'utf8'))
}

/**
 * @param {SystemPackage[]} missing
 * @param {string[]} asRoot - `sudo` or nothing
 */
async function install(missing, asRoot) {
  const names = missing.map((entry) => entry.package)
  // Files here mean that a dpkg was cut off; every apt-get would refuse until it is finished.
  if (readFolder('/var/lib/dpkg/updates').length > 0) await apt(asRoot, ['dpkg', '--configure', '-a'])

  const command = ['apt-get', 'install', '--yes', '--no-install-recommends', ...names]
  const fresh = !(await haveCandidates(names))
  if (fresh) await update(asRoot)
  let result = await apt(asRoot, command)
  if (!result.ok && !fresh && /404|Failed to fetch|Unable to fetch/.test(result.output)) {
    // The lists are older than the mirror.
    await update(asRoot)
    result = await apt(asRoot, command)
  }
  if (!result.ok) throw installError(result.output, missing)
}

/** @param {string[]} asRoot */
async function update(asRoot) {
  const { ok, output } = await apt(asRoot, ['apt-get', 'update'])
  if (ok) return
  throw new SetupError(
    'apt-get update failed; is there a network and a working mirror? Its last lines:',
    lastLines(output),
  )
}

/**
 * @param {string} output
 * @param {SystemPackage[]} missing
 */
function installError(output, missing) {
  return new SetupError('apt-get could not install what is missing. Its last lines:', [
    ...lastLines(output),
    'Install these by hand, then run this again:',
    ...describe(missing),
  ])
}

/**
 * Runs an apt program, and again while another one holds the lock.
 *
 * @param {string[]} asRoot
 * @param {string[]} command
 * @returns {Promise<{ ok: boolean, output: string }>}
 */
async function apt(asRoot, command) {
  const startedMs = performance.now()
  for (;;) {
    const result = await runStep(
      command.slice(0, 2).join(' '),
      [...asRoot, 'env', 'DEBIAN_FRONTEND=noninteractive', 'LC_ALL=C.UTF-8', ...command],
      { gentle: true, keepTerminal: asRoot.length > 0, attempt: true },
    )
    if (result.ok || !isLocked(result.output) || performance.now() - startedMs > lockTimeoutMs) return result
    say(`  another apt or dpkg is at work; waiting for it (${secondsSince(startedMs)})`)
    await pause(lockRetryMs)
  }
}

/** @param {string} output */
function isLocked(output) {
  return /Could not get lock|Unable to acquire the dpkg frontend lock|frontend lock was locked by another process/.test(
    output,
  )
}

/**
 * Whether apt's lists know every package; on a fresh container they are empty.
 *
 * @param {string[]} names
 */
async function haveCandidates(names) {
  const { output } = await runStep('apt-cache', ['env', 'LC_ALL=C.UTF-8', 'apt-cache', 'policy', ...names], {
    attempt: true,
  })
  const candidates = output.match(/^\s+Candidate: (?!\(none\))\S+/gm) ?? []
  return candidates.length >= names.length
}

/**
 * @param {string[]} searched
 * @param {SystemPackage[]} missing
 */
function rootPrefix(searched, missing) {
  if (findProgram('sudo', searched) !== undefined) return ['sudo']
  const names = missing.map((entry) => entry.package).join(' ')
  throw new SetupError('this machine lacks programs, and you are neither root nor is sudo installed.', [
    ...describe(missing),
    `run as root: apt-get install --no-install-recommends ${names}`,
  ])
}

/** @param {SystemPackage[]} entries */
function describe(entries) {
  const width = Math.max(...entries.map((entry) => entry.package.length))
  return entries.map((entry) => `${entry.package.padEnd(width)}  ${entry.reason}`)
}

/**
 * @param {string} name - a program, or an absolute path
 * @param {string[]} folders
 */
function isThere(name, folders) {
  return name.startsWith('/') ? existsSync(name) : findProgram(name, folders) !== undefined
}

/**
 * @param {string} name
 * @param {string[]} folders
 */
function findProgram(name, folders) {
  return folders
    .filter((folder) => folder.startsWith('/'))
    .map((folder) => join(folder, name))
    .find((path) => {
      try {
        accessSync(path, constants.X_OK)
        return true
      } catch {
        return false
      }
    })
}

/** @param {string} path */
function readFolder(path) {
  try {
    return readdirSync(path)
  } catch {
    return []
  }
}

/** @param {number} timeMs */
function pause(timeMs) {
  return new Promise((resolve) => {
    setTimeout(resolve, timeMs)
  })
}

/** @param {string} output */
function lastLines(output) {
  return output.split('\n').slice(-15)
}
