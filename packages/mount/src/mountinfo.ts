// What is mounted where: /proc/self/mountinfo, read, searched and watched.
import { AT_FDCWD, EPOLLPRI, O_CLOEXEC, O_RDONLY } from '@pkg/sys/constants'
import { openat } from '@pkg/sys/fs'
import { read } from '@pkg/sys/io'
import { reactor } from '@pkg/sys/reactor'

/** One line of mountinfo. */
export interface MountInfo {
  /** Unique while it is mounted; may be reused later. */
  id: number
  /** The mount that it is mounted on; itself or an unknown one at the top. */
  parentId: number
  /** Device number of the file system: `{ major: 253, minor: 4 }`. */
  device: { major: number; minor: number }
  /** The folder of the file system that shows here; `/` unless it is a bind. */
  root: string
  /** Where it is mounted, as seen from this process's root. */
  target: string
  /** The mount's own options: `ro,nosuid,relatime`. */
  options: string
  /** Propagation: `shared:1`, `master:2`, `propagate_from:2`, `unbindable`. Empty: private. */
  propagation: string[]
  /** The file system: `ext4`, `tmpfs`, … */
  type: string
  /** Device, or whatever word was given. */
  source: string
  /** The file system's options: `rw,size=10240k`. */
  superblockOptions: string
}

/** A mount with those on top of it. */
export interface MountNode extends MountInfo {
  /** What is mounted on it, in the order of the table. */
  children: MountNode[]
}

/** How to watch. */
export interface WatchMountsOptions {
  /** Ends the iteration, without an error. */
  signal?: AbortSignal
}

const MOUNTINFO_PATH = '/proc/self/mountinfo'
/** Between nested epoll instances the kernel's notice is used up by the first that looks, and so may be lost. */
const COMPARE_INTERVAL_MS = 1_000

/**
 * Parses mountinfo. Unknown optional fields are kept; a line that is not mountinfo is an error.
 *
 * ```text
 * 36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue
 * (1)(2)(3)   (4)   (5)      (6)      (7)   (8) (9)   (10)         (11)
 * ```
 *
 * @throws TypeError with the line that it cannot read
 * @see https://man7.org/linux/man-pages/man5/proc_pid_mountinfo.5.html
 */
export function parseMountinfo(text: string): MountInfo[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map(parseLine)
}

/**
 * Reads the mounts of this process's namespace, in the order of the kernel. Returns at once.
 *
 * @throws {@link SysError} `ENOENT` /proc is not mounted
 * @example
 * ```ts
 * import { readMountinfo } from '@pkg/mount/mountinfo'
 *
 * for (const { target, type, source } of readMountinfo()) console.log(target, type, source)
 * ```
 */
export function readMountinfo(path: string = MOUNTINFO_PATH): MountInfo[] {
  using file = openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC)
  const parts: string[] = []
  const decoder = new TextDecoder()
  const buffer = new Uint8Array(new ArrayBuffer(65_536))
  // The table may change between two reads. The kernel gives whole lines and goes on where it was (seq_file), so a
  // mount can be missing or twice only when it moved meanwhile.
  for (;;) {
    const size = read(file, buffer)
    if (size === 0) return parseMountinfo(parts.join(''))
    parts.push(decoder.decode(buffer.subarray(0, size), { stream: true }))
  }
}

/**
 * Builds the tree of mounts: usually one node with the root.
 *
 * A mount whose parent is not listed (outside of a chroot) is a root itself.
 */
export function mountTree(mounts: readonly MountInfo[]): MountNode[] {
  const nodes = new Map<number, MountNode>()
  for (const mount of mounts) nodes.set(mount.id, Object.assign({ children: [] }, mount))
  const roots: MountNode[] = []
  for (const node of nodes.values()) {
    const parent = nodes.get(node.parentId)
    if (parent === undefined || parent === node) roots.push(node)
    else parent.children.push(node)
  }
  return roots
}

/**
 * Finds the mount that an absolute path lies on: the last one with the longest target that is the path or above it.
 *
 * Symbolic links are not followed: give it a real path.
 *
 * @throws TypeError when the path is not absolute
 */
export function findMount(mounts: readonly MountInfo[], path: string): MountInfo | undefined {
  if (!path.startsWith('/')) throw new TypeError(`'${path}' is not an absolute path`)
  const clean = path.replace(/\/+/g, '/').replace(/(?<=.)\/$/, '')
  let best: MountInfo | undefined
  for (const mount of mounts) {
    const isAbove = mount.target === '/' || clean === mount.target || clean.startsWith(`${mount.target}/`)
    // Of two at one place the later lies on top.
    if (isAbove && mount.target.length >= (best?.target.length ?? 0)) best = mount
  }
  return best
}

/**
 * Puts mounts in an order in which they can be unmounted one by one: what is mounted on a mount before that mount, else
 * the newest first. The table's own order, turned around, is not that: a moved mount keeps its old place in it.
 *
 * @param mounts - as the kernel lists them, oldest first
 * @example
 * ```ts
 * import { readMountinfo, unmountOrder } from '@pkg/mount/mountinfo'
 *
 * console.log(unmountOrder(readMountinfo()).map(({ target }) => target))
 * ```
 */
export function unmountOrder<Mount extends Pick<MountInfo, 'id' | 'parentId'>>(
  mounts: readonly Mount[],
): Mount[] {
  const newestFirst = mounts.toReversed()
  const children = Map.groupBy(newestFirst, ({ parentId }) => parentId)
  const ordered = new Set<Mount>()
  const visited = new Set<Mount>()
  const visit = (mount: Mount): void => {
    // The top of a namespace may be its own parent.
    if (visited.has(mount)) return
    visited.add(mount)
    for (const child of children.get(mount.id) ?? []) visit(child)
    ordered.add(mount)
  }
  for (const mount of newestFirst) visit(mount)
  return [...ordered]
}

/** Whether something is mounted at exactly this path. */
export function isMountPoint(mounts: readonly MountInfo[], path: string): boolean {
  return mounts.some((mount) => mount.target === path)
}

/**
 * Gives the table now, and again after each change: mostly at once (the kernel tells by EPOLLPRI on the open file), at
 * the latest after a second. The kernel's notice can be lost while the reactor is busy with other descriptors, so the
 * table is compared every second too. Several quick changes may come as one.
 *
 * @throws {@link SysError} `ENOENT` /proc is not mounted
 * @see https://man7.org/linux/man-pages/man5/proc_pid_mounts.5.html
 * @example
 * ```ts
 * import { watchMounts } from '@pkg/mount/mountinfo'
 *
 * for await (const mounts of watchMounts()) {
 *   console.log(mounts.length)
 *   break
 * }
 * ```
 */
export async function* watchMounts(
  options: WatchMountsOptions = {},
): AsyncGenerator<MountInfo[], void, undefined> {
  const { signal } = options
  const isOver = (): boolean => signal?.aborted === true
  using file = openat(AT_FDCWD, MOUNTINFO_PATH, O_RDONLY | O_CLOEXEC)
  const notice = new Notice()
  const give = (): void => notice.give()
  using cleanup = new DisposableStack()
  let given = ''
  cleanup.use(watchChanges(file.fd, () => given, give))
  signal?.addEventListener('abort', give)
  cleanup.defer(() => signal?.removeEventListener('abort', give))
  while (!isOver()) {
    const mounts = readMountinfo()
    const now = JSON.stringify(mounts)
    if (now !== given) {
      given = now
      yield mounts
    }
    await notice.taken()
  }
}

/** A change that happens while nobody waits is kept for the next who does. */
class Notice {
  #pending = false
  #wake: (() => void) | null = null

  give(): void {
    this.#pending = true
    this.#wake?.()
  }

  async taken(): Promise<void> {
    if (!this.#pending) {
      const { promise, resolve } = Promise.withResolvers<void>()
      this.#wake = resolve
      await promise
      this.#wake = null
    }
    this.#pending = false
  }
}

function watchChanges(fd: number, given: () => string, onChange: () => void): Disposable {
  const stack = new DisposableStack()
  // Through the reactor's worker thread (no io_uring) the notice never comes.
  if (reactor().wakerKind === 'io_uring') stack.use(reactor().watch(fd, EPOLLPRI, onChange))
  const timer = setInterval(() => {
    if (hasChanged(given())) onChange()
  }, COMPARE_INTERVAL_MS)
  stack.defer(() => clearInterval(timer))
  return stack
}

/** A table that cannot be read counts as changed: the reader meets the error where it can be caught. */
function hasChanged(before: string): boolean {
  try {
    return JSON.stringify(readMountinfo()) !== before
  } catch {
    return true
  }
}

function parseLine(line: string): MountInfo {
  const fields = line.split(' ')
  const separator = fields.indexOf('-', 6)
  const [id, parentId, device = '', root = '', target = '', options = ''] = fields
  const [type, source = '', superblockOptions = ''] = fields.slice(separator + 1)
  const [major, minor] = device.split(':').map(Number)
  const numbers = [Number(id), Number(parentId), major, minor]
  if (separator === -1 || type === undefined || !numbers.every(Number.isSafeInteger)) {
    throw new TypeError(`not a line of mountinfo: ${line}`)
  }
  return {
    id: Number(id),
    parentId: Number(parentId),
    device: { major: Number(major), minor: Number(minor) },
    root: unescapeOctal(root),
    target: unescapeOctal(target),
    options,
    propagation: fields.slice(6, separator),
    type: unescapeOctal(type),
    source: unescapeOctal(source),
    superblockOptions: unescapeOctal(superblockOptions),
  }
}

/** fs/proc_namespace.c mangle(): blank, tab, newline, backslash (and #) come as \040 \011 \012 \134 (\043). */
function unescapeOctal(field: string): string {
  return field.replace(/\\([0-3][0-7]{2})/g, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 8)),
  )
}
