/**
 * The root of a guest: Bun with its C library, the agent, kernel modules, and no more. QEMU's guests get a root image
 * with a small initramfs that mounts it, the others a folder of the host's.
 */
import { existsSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { contentSizeBytes } from '@pkg/image/file-source'
import type { FileTree } from '@pkg/image/tree'
import { agentBundle, stampOf } from './guest-image/agent-bundle.ts'
import { contentsOf, type GuestProgram } from './guest-image/contents.ts'
import { addModules, LOADED, rootModules } from './guest-image/modules.ts'
import { keptImage } from './guest-image/store.ts'
import {
  type Init,
  type InitCommand,
  writeFolder,
  writeInitramfs,
  writeRootImage,
  writeStage1,
} from './guest-image/write.ts'
import { cacheFolder } from './host/cache.ts'
import { sha256 } from './host/files.ts'
import type { Kernel } from './kernel.ts'
import type { Architecture, Backend } from './machine.ts'
import { provideBun } from './runtime.ts'

export type { GuestProgram } from './guest-image/contents.ts'

/** What {@link guestImage} is to make. */
export interface GuestImageOptions {
  /** The guest's processor. */
  readonly architecture: Architecture
  /** What it is for: an image for QEMU, a folder for the others. */
  readonly backend: Backend
  /** The kernel whose modules it holds. Default: none. */
  readonly kernel?: Kernel
  /** Modules to have, and to load, beside the usual ones. `'all'`: every module is there, none more is loaded. */
  readonly modules?: readonly string[] | 'all'
  /** Programs of the host that are brought with their libraries. */
  readonly programs?: readonly GuestProgram[]
  /** For QEMU: PID 1, program and arguments in the guest. */
  readonly init?: InitCommand
  /** For QEMU: variables of PID 1 besides `PATH`, `HOME` and `TERM`. */
  readonly env?: Readonly<Record<string, string>>
  /** Cache folder. Default: `SOLO_CACHE_DIR`, else `~/.cache/solo`. */
  readonly cache?: string
  /** Called with a line when the image is really made, and not found. */
  readonly onNote?: (line: string) => void
}

/** A guest's root. Nothing of it is ever to be written to. */
export interface GuestImage {
  /** Name of what it was made of: images with the same name are the same. */
  readonly key: string
  /** QEMU: path of the initramfs. */
  readonly initrd?: string
  /**
   * QEMU: path of the root image, to be the first virtio disk, read-only. Without one (for kernels that cannot mount
   * it) all is in the initramfs.
   */
  readonly rootImage?: string
  /** Namespaces, UML: path of the folder. */
  readonly folder?: string
}

/** Raised when what an image consists of changes without any of its files, so that old ones are not used. */
const LAYOUT_VERSION = 3

/** The dynamic linkers that Bun asks for: they change when the host's C library does. */
const LINKERS = ['/lib64/ld-linux-x86-64.so.2', '/lib/ld-linux-aarch64.so.1']

/** Files in an image's folder. */
const INITRD = 'initramfs'
const ROOT_IMAGE = 'root.erofs'
const FOLDER = 'root'

/**
 * Makes the image (a second or two), or finds it in the cache folder (some milliseconds). Files of the host are told
 * apart by path, size and time of change. Several processes may ask for the same at once.
 *
 * @throws ProvisionError Bun or a C library cannot be had; ModuleNotFoundError, MissingLibraryError; TypeError without
 *   `init` for QEMU
 *
 * @example
 * ```ts no-run
 * import { guestImage } from '@pkg/vm/guest-image'
 *
 * const { folder } = await guestImage({ architecture: 'x86_64', backend: 'namespace' })
 * console.log(folder)
 * ```
 */
export async function guestImage(options: GuestImageOptions): Promise<GuestImage> {
  const { architecture, backend, kernel, modules = [], programs = [], cache = cacheFolder() } = options
  const { init: command, env = {} } = options
  if (backend === 'qemu' && command === undefined) throw new TypeError('init: an image for QEMU needs one')
  const init: Init | undefined = backend === 'qemu' && command !== undefined ? { command, env } : undefined
  const images = join(cache, 'vm', 'images')
  mkdirSync(images, { recursive: true })
  const bun = await provideBun(architecture, cache)
  const agent = await agentBundle(cache)
  const files = [bun, ...programs.map(({ source }) => source), ...LINKERS, ...moduleLists(kernel)].filter(
    (path) => existsSync(path),
  )
  const stamps = files.map((path) => [path, stampOf(path)])
  const recipe = [
    LAYOUT_VERSION,
    architecture,
    backend === 'qemu',
    stamps,
    agent,
    kernel?.release,
    modules,
    init,
  ]
  const key = sha256(JSON.stringify(recipe)).slice(0, 32)
  const folder = await keptImage(images, key, async (scratch) => {
    options.onNote?.("building the guest's root")
    const tree = await contentsOf({ architecture, bun, agent, programs, cache })
    const added =
      kernel === undefined
        ? undefined
        : await addModules(tree, kernel, modules, init === undefined ? [] : LOADED)
    const first = added === undefined ? undefined : rootModules(added)
    if (init === undefined) await writeFolder(tree, join(scratch, FOLDER))
    else if (first === undefined) await writeInitramfs(tree, init, architecture, join(scratch, INITRD))
    else {
      await writeRootImage(tree, join(scratch, ROOT_IMAGE))
      await writeStage1(first, init, architecture, join(scratch, INITRD))
    }
    return sizeBytesOf(tree)
  })
  if (backend !== 'qemu') return { key, folder: join(folder, FOLDER) }
  const rootImage = join(folder, ROOT_IMAGE)
  return { key, initrd: join(folder, INITRD), ...(existsSync(rootImage) ? { rootImage } : {}) }
}

/** A kernel's modules are changed by installing, which writes one of these anew. */
function moduleLists(kernel: Kernel | undefined): string[] {
  const folder = kernel?.modulesFolder
  if (folder === undefined) return []
  return [folder, ...['modules.dep', 'modules.order', 'modules.builtin'].map((name) => join(folder, name))]
}

function sizeBytesOf(tree: FileTree): number {
  let sizeBytes = 0
  for (const node of tree) if (node.type === 'file') sizeBytes += contentSizeBytes(node.content)
  return sizeBytes
}
