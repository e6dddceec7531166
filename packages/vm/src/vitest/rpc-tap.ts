/**
 * Sits between vitest's pool and a worker whose file system is not the host's: it reads along which modules and mocks
 * the worker asks for, and has their files sent before the answer.
 */
import { existsSync, readdirSync } from 'node:fs'
import { stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { RunnerTestFile } from 'vitest'
import { filesFrame, type GuestFile } from './frames.ts'
import { addPackageOf, packageFolder, type FileSet } from './packages.ts'
import { readFiles } from './runtime.ts'

/** Files that a guest has got: path to a stamp of its content. */
export type SentFiles = Map<string, string>

interface RpcMessage {
  readonly t?: 'q' | 's'
  readonly i?: string
  readonly m?: string
  readonly a?: readonly unknown[]
  readonly r?: unknown
}

/** An answer of vitest's module server: the code is in a file, or it is not to be transformed. */
interface FetchAnswer {
  readonly tmp?: string
  readonly externalize?: string
}

/** Options of {@link RpcTap}. */
export interface RpcTapOptions {
  /** Root of the project: its `__mocks__` stand for packages. */
  readonly root: string
  /** What the guest has got. */
  readonly sent: SentFiles
  /** Sends a frame of files. */
  readonly sendFiles: (frame: Uint8Array) => void
}

/** Methods whose answers speak of files. */
const WATCHED: ReadonlySet<string> = new Set(['fetch', 'fetchWarmModules', 'resolve'])

/** The conversation of one worker. */
export class RpcTap {
  readonly #options: RpcTapOptions
  readonly #asked = new Map<string, string>()
  /** Test files that the worker has told of, by path: the objects that vitest keeps up to date. */
  readonly files: Map<string, RunnerTestFile> = new Map()

  constructor(options: RpcTapOptions) {
    this.#options = options
  }

  /** Reads a message of the worker's. */
  fromWorker(message: unknown): void {
    const { t: type, i: id, m: method, a: parameters } = message as RpcMessage
    if (type !== 'q' || method === undefined) return
    if (id !== undefined && WATCHED.has(method)) this.#asked.set(id, method)
    if (method === 'onQueued') this.#remember([parameters?.[0] as RunnerTestFile])
    if (method === 'onCollected') this.#remember(parameters?.[0] as RunnerTestFile[])
  }

  /** Sends the files that a message to the worker speaks of, and gives the message as the worker is to have it. */
  async toWorker(message: unknown): Promise<unknown> {
    const { t: type, i: id, r: result } = message as RpcMessage
    const method = type === 's' && id !== undefined ? this.#asked.get(id) : undefined
    if (method === undefined || id === undefined) return message
    this.#asked.delete(id)
    if (typeof result !== 'object' || result === null) return message
    switch (method) {
      case 'fetch':
        await this.#send(await this.#filesOf(result))
        return message
      case 'fetchWarmModules': {
        const warm = this.#withCode(result as Record<string, FetchAnswer>)
        await this.#send(new Map(Object.values(warm).map(({ tmp }) => [tmp as string, null])))
        return { ...(message as object), r: warm }
      }
      default:
        this.#sendMocks((result as { file: string }).file)
        return message
    }
  }

  #remember(files: readonly RunnerTestFile[]): void {
    for (const file of files) this.files.set(file.filepath, file)
  }

  async #filesOf({ tmp, externalize }: FetchAnswer): Promise<FileSet> {
    const files: FileSet = new Map()
    if (tmp !== undefined) files.set(tmp, null)
    const path = externalize === undefined ? undefined : externalPath(externalize)
    if (path !== undefined && !this.#options.sent.has(path)) await addPackageOf(path, files)
    return files
  }

  /** External modules are left out: the worker then asks for those that it really imports, one by one. */
  #withCode(warm: Record<string, FetchAnswer>): Record<string, FetchAnswer> {
    return Object.fromEntries(Object.entries(warm).filter(([, { tmp }]) => tmp !== undefined))
  }

  async #send(files: FileSet): Promise<void> {
    const { sent, sendFiles } = this.#options
    const fresh: FileSet = new Map()
    await Promise.all(
      Array.from(files, async ([path, link]) => {
        const stamp = link ?? (await fileStamp(path))
        if (stamp !== undefined && sent.get(path) !== stamp) {
          sent.set(path, stamp)
          fresh.set(path, link)
        }
      }),
    )
    if (fresh.size > 0) sendFiles(await readFiles(fresh))
  }

  /**
   * `vi.mock(path)` without a factory looks, in the worker's file system, whether there is a file in `__mocks__`:
   * so it is shown empty files of these names. Their code comes as every module's does.
   */
  #sendMocks(file: string): void {
    const { root, sent, sendFiles } = this.#options
    const own = join(dirname(file), '__mocks__', basename(file))
    const paths = packageFolder(file) === undefined && existsSync(own) ? [own, file] : []
    if (!sent.has(join(root, '__mocks__'))) {
      sent.set(join(root, '__mocks__'), '')
      paths.push(...filesBelow(join(root, '__mocks__')))
    }
    const fresh = paths.filter((path) => !sent.has(path))
    for (const path of fresh) sent.set(path, '')
    if (fresh.length > 0)
      sendFiles(
        filesFrame(
          fresh.map((path): GuestFile => ({ path, content: 0 })),
          [],
        ),
      )
  }
}

/** The file of a module that is imported as it is, unless it is one of vitest's own or a built-in. */
function externalPath(externalize: string): string | undefined {
  const path = externalize.startsWith('file://') ? fileURLToPath(externalize) : externalize
  return path.startsWith('/') ? path.replace(/[?#].*$/, '') : undefined
}

async function fileStamp(path: string): Promise<string | undefined> {
  return stat(path).then(
    ({ mtimeMs, size }) => `${mtimeMs} ${size}`,
    () => undefined,
  )
}

function filesBelow(folder: string): string[] {
  if (!existsSync(folder)) return []
  return readdirSync(folder, { withFileTypes: true, recursive: true }).flatMap((entry) =>
    entry.isFile() ? [join(entry.parentPath, entry.name)] : [],
  )
}
