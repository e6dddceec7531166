/** The agent as one file with its bytecode, made by Bun's bundler and kept until one of its sources changes. */
import { existsSync, readFileSync, statSync } from 'node:fs'
import { readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { ProvisionError } from '../host/error.ts'
import { sha256, writeAtomically } from '../host/files.ts'
import { fillOnce } from '../host/once.ts'
import { runProgram } from '../host/program.ts'
import { hostArchitecture } from '../host/system.ts'
import { provideBun } from '../runtime.ts'
import { constantsFile } from './constants-file.ts'

/** A kept bundle: where it is, and its sources as they were. */
interface Kept {
  readonly folder: string
  readonly sources: readonly { readonly path: string; readonly stamp: string }[]
}

/** Bundles in the cache: one for each state of the sources that was used. */
const KEPT_BUNDLES = 8

/** The agent's entry beside this module: TypeScript in the repository, JavaScript in the published package. */
function entryFile(): string {
  const candidates = ['../guest/main.ts', './guest/main.js', '../guest/main.js', '../src/guest/main.ts']
  const found = candidates
    .map((path) => fileURLToPath(new URL(path, import.meta.url)))
    .find((path) => existsSync(path))
  if (found === undefined) throw new ProvisionError('the agent is missing from this installation of @pkg/vm')
  return found
}

/**
 * A folder with the agent's files: `agent.js`, `agent.js.jsc`, its bytecode, which spares Bun the parsing, and
 * `constants.json` for functions that ask for constants. The folder is never changed.
 *
 * @param cache - the cache folder
 * @throws ProvisionError Bun cannot be had, or cannot bundle
 */
export async function agentBundle(cache: string): Promise<string> {
  const bundles = join(cache, 'vm', 'agent')
  const entry = entryFile()
  const record = join(bundles, `${sha256(entry).slice(0, 16)}.json`)
  const kept = readKept(record)
  if (kept !== undefined && existsSync(kept.folder) && kept.sources.every(isUnchanged)) return kept.folder
  // The Bun that guests have: bytecode is of one version.
  const bun = await provideBun(hostArchitecture(), cache)
  let sources: readonly string[] = []
  // Under a name of its own until the sources are known.
  const draft = join(bundles, `draft-${process.pid}-${Date.now()}`)
  await fillOnce(draft, async (scratch) => {
    sources = await bundle(bun, entry, scratch)
  })
  const stamped = sources.map((path) => ({ path, stamp: stampOf(path) }))
  const files = await Promise.all(['agent.js', 'constants.json'].map((name) => readFile(join(draft, name))))
  const folder = join(bundles, sha256(files.map((bytes) => sha256(bytes)).join(' ')).slice(0, 32))
  await rename(draft, folder).catch(() => rm(draft, { recursive: true, force: true }))
  await writeAtomically(record, JSON.stringify({ folder, sources: stamped } satisfies Kept))
  await prune(bundles)
  return folder
}

/** Bundles into `folder`, and returns the sources' paths. */
async function bundle(bun: string, entry: string, folder: string): Promise<string[]> {
  const args = ['build', entry, '--target=bun', '--format=cjs', '--bytecode', '--sourcemap=external']
  const names = ['--entry-naming=agent.[ext]', `--outdir=${folder}`]
  // Names of functions stay: they are in the stack traces of whatever runs in a guest.
  const { status, stderr } = await runProgram(bun, [...args, '--minify-syntax', ...names], {
    cwd: dirname(entry),
  })
  if (status !== 0) throw new ProvisionError(`the guest's agent could not be bundled: ${stderr.trim()}`)
  const mapFile = join(folder, 'agent.js.map')
  const map = JSON.parse(await readFile(mapFile, 'utf8')) as { sources: string[] }
  await rm(mapFile)
  await writeFile(join(folder, 'constants.json'), constantsFile())
  const sources = map.sources.map((source) => resolve(folder, source))
  return [...new Set([...sources, ...(await constantsSources(sources))])]
}

/** All of the generated files from which some constants are in the agent itself, and all others in its file of them. */
async function constantsSources(sources: readonly string[]): Promise<string[]> {
  const folder = sources
    .map((source) => dirname(source))
    .find((path) => path.endsWith('/generated/constants'))
  return folder === undefined ? [] : (await readdir(folder)).map((name) => join(folder, name))
}

function readKept(record: string): Kept | undefined {
  try {
    return JSON.parse(readFileSync(record, 'utf8')) as Kept
  } catch {
    return undefined
  }
}

function isUnchanged({ path, stamp }: Kept['sources'][number]): boolean {
  try {
    return stampOf(path) === stamp
  } catch {
    return false
  }
}

async function prune(bundles: string): Promise<void> {
  const names = (await readdir(bundles)).filter((name) => /^[0-9a-f]{32}$/.test(name))
  const dated = await Promise.all(
    names.map(async (name) => ({ name, madeMs: (await stat(join(bundles, name))).mtimeMs })),
  )
  const old = dated.toSorted((one, other) => other.madeMs - one.madeMs).slice(KEPT_BUNDLES)
  for (const { name } of old) await rm(join(bundles, name), { recursive: true, force: true })
}

/** Size and time of change: what tells, without reading it, that a file is the same. */
export function stampOf(path: string): string {
  const { size, mtimeMs } = statSync(path)
  return `${size} ${mtimeMs}`
}
