/**
 * newc cpio archives, the format of the kernel's initramfs.
 *
 * What is written: magic 070701, names without a leading `/`, directories before what they hold, inode numbers
 * counted from 1 on device 0:0, a hard-linked file's bytes with the last of its names (where GNU cpio, busybox and
 * the kernel all take them), the trailer, then zeros up to the alignment. Nothing depends on the clock or the host.
 *
 * @see https://docs.kernel.org/driver-api/early-userspace/buffer-format.html
 */
import { checkLimits, cpioSegment } from './cpio/writer.ts'
import { readArchives } from './cpio/reader.ts'
import type { CpioEntry } from './cpio/reader.ts'
import type { FileContent } from './stream/content.ts'
import { coalesce } from './stream/coalesce.ts'
import { counted } from './stream/progress.ts'
import type { PassOptions } from './stream/progress.ts'
import { FileTree } from './tree.ts'
import type { TreeNode } from './tree.ts'

export { CpioError } from './cpio/error.ts'
export type { CpioEntry } from './cpio/reader.ts'
export type { PassOptions } from './stream/progress.ts'

/** CPU microcode that the kernel applies before it does anything else. */
export interface Microcode {
  /** Becomes `kernel/x86/microcode/GenuineIntel.bin`. */
  readonly intel?: FileContent
  /** Becomes `kernel/x86/microcode/AuthenticAMD.bin`. */
  readonly amd?: FileContent
}

/** How an archive is written. */
export interface CpioOptions extends PassOptions {
  /** Written as a segment of its own before the rest, as the kernel requires. */
  readonly microcode?: Microcode
  /**
   * Each segment is filled with zeros to a multiple of this: a power of two from 4 (the kernel looks for the next
   * segment at multiples of 4) to 1 MiB. Default 512, as GNU cpio does.
   */
  readonly alignmentBytes?: number
  /** What is done with extended attributes, which newc cannot hold. Default: `refuse`, a TypeError. */
  readonly xattrs?: 'refuse' | 'drop'
}

const defaultAlignmentBytes = 512

/**
 * Writes `tree` as one newc archive, after the microcode's segment if there is any.
 *
 * Streams: memory in use is one chunk of a file (and its source's buffer), however large the tree. The chunks are
 * new memory, or views of content that was given as bytes: do not change them. The tree is read at the call;
 * sources are opened while iterating.
 *
 * @throws TypeError or RangeError at the call for wrong options, or for what newc cannot hold: a file of 4 GiB or
 *   more, a time after 2106, extended attributes. While iterating: an Error naming the path when a source gives
 *   more or fewer bytes than it promised.
 * @see https://docs.kernel.org/driver-api/early-userspace/buffer-format.html
 *
 * @example
 * ```ts
 * import { writeCpio } from '@pkg/image/cpio'
 * import { FileTree } from '@pkg/image/tree'
 *
 * const tree = new FileTree().add({ path: '/init', type: 'file', mode: 0o755, content: new Uint8Array(10) })
 * let sizeBytes = 0
 * for await (const chunk of writeCpio(tree)) sizeBytes += chunk.byteLength
 * console.log(sizeBytes) // 512
 * ```
 */
export function writeCpio(
  tree: FileTree,
  options: CpioOptions = {},
): AsyncGenerator<Uint8Array, void, undefined> {
  if (!(tree instanceof FileTree)) throw new TypeError('writeCpio(tree): tree must be a FileTree')
  const alignmentBytes = checkAlignment(options.alignmentBytes)
  const nodes = [...tree]
  checkLimits(nodes, options.xattrs === 'drop')
  const first = options.microcode ? [microcodeNodes(options.microcode)] : []
  return counted(coalesce(segments([...first, nodes], alignmentBytes, options.signal)), options.onProgress)
}

/**
 * Writes only the segment with the microcode, for images whose other segments are compressed: this one must be
 * first and must not be.
 *
 * @throws TypeError when `microcode` has neither vendor
 * @see https://docs.kernel.org/arch/x86/microcode.html
 *
 * @example
 * ```ts
 * import { writeMicrocode } from '@pkg/image/cpio'
 *
 * const segment = await Array.fromAsync(writeMicrocode({ amd: new Uint8Array(100) }))
 * console.log(segment.length > 0)
 * ```
 */
export function writeMicrocode(
  microcode: Microcode,
  options: Omit<CpioOptions, 'microcode'> = {},
): AsyncGenerator<Uint8Array, void, undefined> {
  const alignmentBytes = checkAlignment(options.alignmentBytes)
  return counted(
    coalesce(segments([microcodeNodes(microcode)], alignmentBytes, options.signal)),
    options.onProgress,
  )
}

/**
 * Reads newc archives (070701, and 070702 with its sums checked), also several one after another with zeros
 * between them, as an initramfs may be.
 *
 * Streams: an entry's `content` is read from `input` as it is asked for; what is left of it when the next entry is
 * asked for is skipped.
 *
 * @param input - the bytes, or chunks of them of any size
 * @param options - `signal` ends the reading
 * @throws {@link CpioError} with the offset: damaged or cut-off headers, names, contents, a missing trailer, a name
 *   with `..`, an older format, a compressed segment
 *
 * @example
 * ```ts
 * import { readCpio, writeCpio } from '@pkg/image/cpio'
 * import { FileTree } from '@pkg/image/tree'
 *
 * const tree = new FileTree().add({ path: '/etc/motd', type: 'file', content: new TextEncoder().encode('hello') })
 * for await (const entry of readCpio(writeCpio(tree))) {
 *   const text = entry.type === 'file' ? new TextDecoder().decode(await entry.bytes()) : ''
 *   console.log(entry.path, entry.type, text)
 * }
 * ```
 */
export function readCpio(
  input: Uint8Array | Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
  options: { readonly signal?: AbortSignal } = {},
): AsyncGenerator<CpioEntry, void, undefined> {
  return readArchives(input instanceof Uint8Array ? [input] : input, options.signal)
}

async function* segments(
  trees: TreeNode[][],
  alignmentBytes: number,
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array, void, undefined> {
  for (const nodes of trees) yield* cpioSegment(nodes, alignmentBytes, signal)
}

function microcodeNodes(microcode: Microcode): TreeNode[] {
  const folder = '/kernel/x86/microcode'
  const tree = new FileTree()
  if (microcode.amd) tree.add({ path: `${folder}/AuthenticAMD.bin`, type: 'file', content: microcode.amd })
  if (microcode.intel)
    tree.add({ path: `${folder}/GenuineIntel.bin`, type: 'file', content: microcode.intel })
  if (tree.size === 0) throw new TypeError('microcode: give intel, amd or both')
  const nodes = [...tree]
  checkLimits(nodes, false)
  return nodes
}

function checkAlignment(alignmentBytes: number = defaultAlignmentBytes): number {
  const powerOfTwo = Number.isInteger(Math.log2(alignmentBytes))
  if (!powerOfTwo || alignmentBytes < 4 || alignmentBytes > 1024 * 1024) {
    throw new RangeError(`alignmentBytes is ${alignmentBytes}, expected a power of two from 4 to 1048576`)
  }
  return alignmentBytes
}
