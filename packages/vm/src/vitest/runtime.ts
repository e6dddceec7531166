/**
 * What a worker in a guest consists of: our worker module and the part of the user's vitest that runs in workers,
 * at the same absolute paths as on the host, so that stacks and vitest's own path checks hold.
 */
import { existsSync } from 'node:fs'
import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { WorkerStart } from './transport.ts'
import { addImport, addImportsOf, type FileSet } from './packages.ts'
import { filesFrame, type GuestFile, type WorkerProgram } from './frames.ts'

/** The worker's files, ready to be sent. */
export interface WorkerRuntime {
  /** Text of the program that the guest's Bun is started with (`bun -e`). */
  readonly bootstrap: string
  /** Frame with the files. */
  readonly files: Uint8Array
  /** What the bootstrap is to import, but for the working folder. */
  readonly program: Omit<WorkerProgram, 'folder'>
  /** Hash of it all: equal runtimes are equal workers. */
  readonly key: string
}

/** Entries of vitest that the worker, or the code of tests, imports. */
const VITEST_ENTRIES = [
  'worker.js',
  'index.js',
  'runtime.js',
  'module-evaluator.js',
  'spy.js',
  'path.js',
] as const

/** Packages that vitest imports by name when coverage is on; they are in the guest when they are on the host. */
const COVERAGE = { v8: '@vitest/coverage-v8', istanbul: '@vitest/coverage-istanbul' } as const

/** A worker's program as it is started for a project. */
export interface StartedProgram {
  /** Its files. */
  readonly runtime: WorkerRuntime
  /** Its environment. */
  readonly env: Readonly<Record<string, string>>
  /** Its working folder. */
  readonly folder: string
}

/** How Bun is started for it. Bun is neither to fetch packages nor to look for settings in the guest. */
export function workerStart({ runtime, env }: StartedProgram): WorkerStart {
  return { args: ['--no-install', '--no-env-file', '-e', runtime.bootstrap], env }
}

/** Options of {@link workerRuntime}. */
export interface WorkerRuntimeOptions {
  /** Folder of vitest's `dist`: `distPath` of the pool's options. */
  readonly vitestDist: string
  /** Coverage provider in use, if any. */
  readonly coverage: 'v8' | 'istanbul' | undefined
}

const runtimes = new Map<string, Promise<WorkerRuntime>>()

/** Gathers the worker's files; once for equal options, since vitest does not change while it runs. */
export function workerRuntime(options: WorkerRuntimeOptions): Promise<WorkerRuntime> {
  const key = `${options.vitestDist}\0${options.coverage ?? ''}`
  const known = runtimes.get(key)
  if (known) return known
  const gathered = gather(options)
  runtimes.set(key, gathered)
  return gathered
}

async function gather({ vitestDist, coverage }: WorkerRuntimeOptions): Promise<WorkerRuntime> {
  const files: FileSet = new Map()
  const sources = join(ownFolder(), 'src', 'vitest')
  const module = join(sources, 'guest', 'worker.ts')
  await addImportsOf(module, files)
  for (const entry of VITEST_ENTRIES) {
    const path = join(vitestDist, entry)
    if (existsSync(path)) await addImportsOf(path, files)
  }
  // Without its manifest Bun does not know what `vitest` and `#module-evaluator` are.
  files.set(join(dirname(vitestDist), 'package.json'), null)
  if (coverage !== undefined) await addImport(COVERAGE[coverage], join(vitestDist, 'worker.js'), files)
  const frame = await readFiles(files)
  const bootstrap = await readFile(join(sources, 'guest', 'bootstrap.ts'), 'utf8')
  return {
    bootstrap,
    files: frame,
    program: { module, vitestDist },
    key: createHash('sha256').update(frame).update(bootstrap).digest('hex'),
  }
}

/** The folder of this package, whether its sources run or its build does: the guest's files come from `src`. */
function ownFolder(): string {
  let folder = dirname(fileURLToPath(import.meta.url))
  while (!existsSync(join(folder, 'src', 'vitest', 'guest', 'worker.ts'))) {
    const parent = dirname(folder)
    if (parent === folder) throw new Error("@pkg/vm: the package's folder src is missing: install it anew")
    folder = parent
  }
  return folder
}

/** Reads the files of a set into one frame. */
export async function readFiles(files: FileSet): Promise<Uint8Array> {
  const headers: GuestFile[] = []
  const contents: Uint8Array[] = []
  for (const [path, link] of files) {
    if (link !== null) {
      headers.push({ path, content: { link } })
      continue
    }
    const bytes = await readFile(path)
    headers.push({ path, content: bytes.length })
    contents.push(bytes)
  }
  return filesFrame(headers, contents)
}
