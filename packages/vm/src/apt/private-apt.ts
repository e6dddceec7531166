// The host's apt, looking at the host's sources and keys but keeping its lists and files in a folder of ours:
// nothing of the host changes, and no root is needed.
import { mkdir, readdir, stat, statfs, writeFile } from 'node:fs/promises'
import { isAbsolute, join } from 'node:path'
import { ProvisionError } from '../host/error.ts'
import { explainWriteError, readTextIfThere, sha256, sha256File, writeAtomically } from '../host/files.ts'
import { type ProgramResult, runProgram } from '../host/program.ts'
import { type PackageRecord, parseRecords } from './stanza.ts'

/** Where packages come from. */
export interface AptOptions {
  /** Folder for everything that apt keeps. */
  readonly cache: string
  /** Code name that the pins are filed under. */
  readonly suite: string
  /** Debian's name of the target's architecture: `amd64`, `arm64`. */
  readonly architecture: string
  /** A sources file (`.list` or `.sources`) instead of the host's own sources. */
  readonly sourcesFile?: string
  /** Called with a line that is worth showing. */
  readonly onNote?: (line: string) => void
}

/** Lists younger than this are not fetched again: a build right after another needs no network. */
const listsFreshMs = 60 * 60 * 1000

/** An apt with a private state. */
export interface PrivateApt {
  /**
   * Fetches the lists of packages, unless that was done within the hour.
   *
   * @param force - fetch them in any case
   * @returns whether they were fetched (or that was tried: then `trouble` has apt's own words)
   */
  refresh(force: boolean): Promise<boolean>
  /** What went wrong in the last refresh, in apt's words; empty when nothing did. */
  readonly trouble: string
  /** Records of a package: the candidate first, or only those of `version`. Empty when there is none. */
  show(name: string, version?: string): Promise<readonly PackageRecord[]>
  /**
   * Records of packages and of all that they depend on, in the order in which they would be installed on a machine
   * that has none. Recommended packages are not among them.
   *
   * @throws ProvisionError one is not there, or they cannot be had together; in apt's words
   */
  solve(names: readonly string[]): Promise<readonly PackageRecord[]>
  /**
   * Downloads one package into a folder and returns the file's path; apt checks its signature chain.
   *
   * @throws ProvisionError when it cannot be had
   */
  download(record: PackageRecord, folder: string, onPercent?: (percent: number) => void): Promise<string>
}

/**
 * Prepares the private folder and returns the apt that works in it.
 *
 * @throws ProvisionError when apt is not installed
 */
export async function openApt(options: AptOptions): Promise<PrivateApt> {
  const sources = options.sourcesFile
  const sourcesText = sources === undefined ? 'host' : `${sources}\n${(await readTextIfThere(sources)) ?? ''}`
  const folder = join(
    options.cache,
    'apt',
    `${options.suite}-${options.architecture}-${sha256(sourcesText).slice(0, 8)}`,
  )
  for (const name of ['lists/partial', 'archives/partial', 'log']) {
    await mkdir(join(folder, name), { recursive: true })
  }
  const configuration = join(folder, 'apt.conf')
  await keepFile(join(folder, 'status'), '')
  await keepFile(configuration, privateConfiguration(await hostConfiguration(), folder, options))
  return new Apt(folder, configuration, options)
}

/**
 * Another build may read the file at this moment; and one that is written anew, though it is the same, has apt read all
 * lists again, which takes half a second.
 */
async function keepFile(path: string, text: string): Promise<void> {
  if ((await readTextIfThere(path)) !== text) await writeAtomically(path, text)
}

class Apt implements PrivateApt {
  trouble = ''
  readonly #folder: string
  readonly #environment: Record<string, string>
  readonly #options: AptOptions

  constructor(folder: string, configuration: string, options: AptOptions) {
    this.#folder = folder
    this.#environment = { APT_CONFIG: configuration }
    this.#options = options
  }

  async refresh(force: boolean): Promise<boolean> {
    const stamp = join(this.#folder, 'refreshed')
    if (!force && (await ageMs(stamp)) < listsFreshMs) return false
    this.#options.onNote?.(`reading package lists of ${this.#options.suite}/${this.#options.architecture}`)
    const result = await this.#locked('apt-get', ['-q', 'update'])
    this.trouble = firstTrouble(result)
    refuseFullDisk(this.trouble, this.#folder)
    if (this.trouble === '') await writeFile(stamp, '')
    return true
  }

  async show(name: string, version?: string): Promise<readonly PackageRecord[]> {
    const wanted = version === undefined ? [name] : [`${name}=${version}`]
    const result = await this.#run('apt-cache', ['show', '--no-all-versions', ...wanted])
    return parseRecords(result.stdout).filter(
      (record) => record.name === name && (version === undefined || record.version === version),
    )
  }

  async solve(names: readonly string[]): Promise<readonly PackageRecord[]> {
    const solved = await this.#run('apt-get', ['-q', '-s', '--no-install-recommends', 'install', ...names])
    if (solved.status !== 0)
      throw new ProvisionError(`cannot get ${names.join(' ')}: ${firstTrouble(solved)}`)
    // Inst redis-server (5:7.0.15-1 Debian:12/oldstable [amd64])
    const wanted = [...solved.stdout.matchAll(/^Inst (\S+) \((\S+) /gm)].map(([, name, version]) => {
      return { name: name as string, version: version as string }
    })
    const shown = await this.#run('apt-cache', [
      'show',
      ...wanted.map((each) => `${each.name}=${each.version}`),
    ])
    const records = parseRecords(shown.stdout)
    return wanted.map(({ name, version }) => {
      const record = records.find((each) => each.name === name && each.version === version)
      if (record === undefined) throw new ProvisionError(`apt-cache does not show ${name} ${version}`)
      return record
    })
  }

  async download(
    record: PackageRecord,
    folder: string,
    onPercent?: (percent: number) => void,
  ): Promise<string> {
    const result = await this.#run(
      'apt-get',
      ['-q', '-o', 'APT::Status-Fd=3', 'download', `${record.name}=${record.version}`],
      { cwd: folder, onPercent },
    )
    const file = (await readdir(folder)).find(
      (name) => name.startsWith(`${record.name}_`) && name.endsWith('.deb'),
    )
    if (result.status !== 0) refuseFullDisk(firstTrouble(result), this.#options.cache)
    if (result.status !== 0 || file === undefined) {
      throw new ProvisionError(
        `cannot download ${record.name} ${record.version}: ${firstTrouble(result) || 'apt-get gave no reason'}`,
      )
    }
    const path = join(folder, file)
    const found = await sha256File(path)
    if (found !== record.sha256) {
      throw new ProvisionError(
        `${record.name} ${record.version}: SHA-256 is ${found}, expected ${record.sha256}`,
      )
    }
    return path
  }

  /** Two builds at once share the lists, and apt does not wait for its own lock. */
  #locked(program: string, args: readonly string[]): Promise<ProgramResult> {
    // Without --no-fork the program would outlive a flock that is killed.
    return this.#run('flock', ['--no-fork', join(this.#folder, 'lock'), program, ...args])
  }

  async #run(
    program: string,
    args: readonly string[],
    options: { cwd?: string; onPercent?: ((percent: number) => void) | undefined } = {},
  ): Promise<ProgramResult> {
    using space = abortWhenFull(this.#folder)
    return await runProgram(program, args, {
      env: this.#environment,
      signal: space.signal,
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
      onStatusLine: (line) => {
        // dlstatus:ITEM:PERCENT:TEXT, apt's README.progress-reporting
        const percent = /^dlstatus:[^:]*:([\d.]+):/.exec(line)?.[1]
        if (percent !== undefined) options.onPercent?.(Number(percent))
      },
    })
  }
}

async function ageMs(path: string): Promise<number> {
  try {
    return Date.now() - (await stat(path)).mtimeMs
  } catch {
    return Number.POSITIVE_INFINITY
  }
}

/** apt ends with 0 when a list could not be fetched, so its messages have to be looked at. */
function firstTrouble(result: ProgramResult): string {
  const lines = `${result.stderr}\n${result.stdout}`.split('\n')
  const line =
    lines.find((each) => /^E: /.test(each)) ?? lines.find((each) => /^W: Failed to fetch/.test(each))
  if (line !== undefined) return line.slice(3).trim()
  return result.status === 0 ? '' : `apt-get ended with status ${result.status}`
}

/** Less than this is full: the methods of apt write in pieces of this size. */
const fullBytes = 64 * 1024

/**
 * The methods of apt do not say that the disk is full while they download: they try again for minutes (seen with
 * apt 2.6 and a tmpfs of 2 MiB). So the disk is looked at beside them.
 */
function abortWhenFull(folder: string): Disposable & { readonly signal: AbortSignal } {
  const controller = new AbortController()
  const look = async (): Promise<void> => {
    const { bavail, bfree, bsize } = await statfs(folder)
    // What is reserved for root is not full for root; statfs(2).
    if ((process.getuid?.() === 0 ? bfree : bavail) * bsize >= fullBytes) return
    const full = Object.assign(new Error('the disk is full'), { code: 'ENOSPC' })
    controller.abort(explainWriteError(full, folder))
  }
  const timer = setInterval(() => void look().catch(() => undefined), 1000)
  return { signal: controller.signal, [Symbol.dispose]: () => clearInterval(timer) }
}

/** apt's words for ENOSPC, and for too little room for a package. */
function refuseFullDisk(trouble: string, folder: string): void {
  if (!/No space left on device|enough free space/.test(trouble)) return
  throw explainWriteError(Object.assign(new Error(trouble), { code: 'ENOSPC' }), folder)
}

async function hostConfiguration(): Promise<string> {
  const result = await runProgram('apt-config', ['dump'])
  if (result.status !== 0) throw new ProvisionError(`apt-config dump: ${result.stderr.trim()}`)
  return result.stdout
}

/**
 * What is kept of the host's configuration: how to fetch (proxies, time-outs, certificates) and where its
 * sources, keys, passwords and preferences lie. Left out is all that acts on the host: hooks after an update
 * (some delete the host's archives), its state and its caches.
 */
const keptOption =
  /^(Acquire(::| )|Dir::Etc(::| )|Dir::Bin(::| )|Dir::Ignore-Files-Silently|APT::Authentication)/

function privateConfiguration(host: string, folder: string, options: AptOptions): string {
  const quoted = (value: string): string => `"${value.replaceAll('"', '%22')}"`
  const own: [string, string][] = [
    // Everything from the host is above already; its files must not be read a second time.
    ['Dir::Etc::main', '/dev/null'],
    ['Dir::Etc::parts', '/dev/null'],
    ['Dir::State', folder],
    ['Dir::State::lists', join(folder, 'lists')],
    // An empty status: what the host has installed does not change what is taken.
    ['Dir::State::status', join(folder, 'status')],
    ['Dir::Cache', folder],
    ['Dir::Cache::archives', join(folder, 'archives')],
    ['Dir::Cache::pkgcache', 'pkgcache.bin'],
    // Halves the room that is needed; it would only make a rebuild of pkgcache.bin faster.
    ['Dir::Cache::srcpkgcache', ''],
    ['Dir::Log', join(folder, 'log')],
    ['APT::Architecture', options.architecture],
    // The user `_apt` cannot enter a cache below /root.
    ...(process.getuid?.() === 0 ? ([['APT::Sandbox::User', 'root']] as [string, string][]) : []),
    ['Acquire::Languages', 'none'],
    ['Acquire::Retries', '2'],
    ['Acquire::IndexTargets::deb::DEP-11::DefaultEnabled', 'false'],
    ['Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled', 'false'],
    ['Acquire::IndexTargets::deb::CNF::DefaultEnabled', 'false'],
  ]
  if (options.sourcesFile !== undefined) {
    if (!isAbsolute(options.sourcesFile)) throw new TypeError('sourcesFile: expected an absolute path')
    own.push(['Dir::Etc::sourcelist', options.sourcesFile], ['Dir::Etc::sourceparts', '/dev/null'])
  }
  return [
    ...host.split('\n').filter((line) => keptOption.test(line)),
    ...own.map(([name, value]) => `${name} ${quoted(value)};`),
    `#clear APT::Architectures;`,
    `APT::Architectures { ${quoted(options.architecture)}; };`,
    '',
  ].join('\n')
}
