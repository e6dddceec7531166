/** The bytes of a planned image, from its first to its last, with uuid and checksum zeroed. */
import { readContent } from '../stream/content.ts'
import type { FileContent } from '../stream/content.ts'
import type { DirectoryBlock } from './directory.ts'
import { blockBytes, encodeEntries, encodeInode, encodeSuperblock } from './format.ts'
import { headBytes, inodeBytes, nidOf } from './layout.ts'
import type { Layout, PlacedInode } from './layout.ts'
import { xattrCount } from './xattrs.ts'

const encoder = new TextEncoder()

/** Yields the first block by itself, then pieces of any size. */
export async function* imagePieces(
  layout: Layout,
  volumeName: Uint8Array,
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array, void, undefined> {
  signal?.throwIfAborted()
  yield* inodeBlocks(layout, volumeName, signal)
  for (const { entries, blocks } of layout.directories) {
    for (const block of entries.slice(0, blocks)) {
      signal?.throwIfAborted()
      const bytes = new Uint8Array(blockBytes)
      writeEntries(bytes, 0, block, layout)
      yield bytes
    }
  }
  for (const file of layout.files) {
    yield* readContent(contentOf(file), file.inode.node.path, signal)
    yield new Uint8Array(file.blocks * blockBytes - file.sizeBytes)
  }
}

/** The blocks of superblock and inodes, one at a time: inodes never cross a block's end. */
async function* inodeBlocks(
  layout: Layout,
  volumeName: Uint8Array,
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array, void, undefined> {
  let block = new Uint8Array(blockBytes)
  let blockOffset = 0
  const [root] = layout.inodes.values()
  if (!root) throw new Error('a layout without a root')
  encodeSuperblock(block, {
    rootNid: nidOf(root),
    inodes: layout.inodes.size,
    blocks: layout.blocks,
    volumeName,
  })
  for (const placed of layout.inodes.values()) {
    if (placed.offset >= blockOffset + blockBytes) {
      signal?.throwIfAborted()
      yield block
      block = new Uint8Array(blockBytes)
      blockOffset += blockBytes
    }
    await writeInode(block, placed.offset - blockOffset, placed, layout, signal)
  }
  yield block
}

async function writeInode(
  block: Uint8Array,
  offset: number,
  placed: PlacedInode,
  layout: Layout,
  signal: AbortSignal | undefined,
): Promise<void> {
  const { inode, extended, xattrs, inlineBytes, sizeBytes, address } = placed
  const { type, path, mode, uid, gid, mtimeSeconds } = inode.node
  const inline = inlineBytes > 0
  const { number, links } = inode
  const owner = { mode, uid, gid, mtimeSeconds }
  const place = { extended, inline, sizeBytes, address, xattrCount: xattrCount(xattrs.byteLength) }
  encodeInode(block, offset, { type, links, number, ...owner, ...place })
  block.set(xattrs, offset + inodeBytes(placed))
  if (!inline) return
  const dataOffset = offset + headBytes(placed)
  const lastEntries = placed.entries.at(-1)
  if (lastEntries) {
    writeEntries(block, dataOffset, lastEntries, layout)
    return
  }
  let filled = dataOffset
  for await (const chunk of readContent(contentOf(placed), path, signal)) {
    block.set(chunk, filled)
    filled += chunk.byteLength
  }
}

function writeEntries(
  block: Uint8Array,
  offset: number,
  { entries }: DirectoryBlock,
  { inodes }: Layout,
): void {
  const fields = entries.map(({ name, inode }) => {
    const placed = inodes.get(inode)
    if (!placed) throw new Error(`${inode.node.path}: named in a directory and not in the layout`)
    return { name, nid: nidOf(placed), type: inode.node.type }
  })
  encodeEntries(block, offset, fields)
}

function contentOf({ inode: { node } }: PlacedInode): FileContent {
  if (node.type === 'file') return node.content
  return node.type === 'symlink' ? encoder.encode(node.target) : new Uint8Array()
}
