/** What lies in the blocks of directories, files and the journal, in the order of their places. */
import { readContent } from '../stream/content.ts'
import type { FileContent } from '../stream/content.ts'
import { inodeSeed } from './checksum.ts'
import { directoryBlocks } from './directory.ts'
import { encodeTree } from './extent-tree.ts'
import { blockBytes, inodeNumbers } from './format.ts'
import type { Piece, Run } from './format.ts'
import { blocksOf } from './inode-table.ts'
import { encodeJournalSuperblock } from './journal.ts'
import { lostAndFoundBlocks } from './layout.ts'
import type { Layout, Placed, PlacedInode } from './layout.ts'
import { encodeResizeBlock } from './resize-inode.ts'
import type { Settings } from './settings.ts'
import { at } from './structures.ts'
import { encodeXattrBlock, splitXattrs } from './xattrs.ts'

/** What contents are made from. */
export interface ContentContext {
  readonly layout: Layout
  readonly settings: Pick<Settings, 'uuid' | 'hashSeed'>
  /** Of the file system's checksums. */
  readonly seed: number
}

/** All contents. A file's last block is filled with zeros; of the journal only the first block is written. */
export async function* contents(
  context: ContentContext,
  signal?: AbortSignal,
): AsyncGenerator<Piece, void, undefined> {
  const { layout, settings, seed } = context
  const { journal } = layout
  yield at(layout.resizeBlock, encodeResizeBlock(layout.geometry))
  const journalStart = encodeJournalSuperblock(blocksOf(journal.runs), settings.uuid)
  for (const { start } of journal.runs.slice(0, 1)) yield at(start, journalStart)
  yield* treePieces(journal, inodeSeed(seed, inodeNumbers.journal))
  for (const placed of layout.inodes) {
    if (placed.xattrBlock > 0) {
      const { node } = placed.inode
      const { inBlock } = splitXattrs(node.path, node.xattrs)
      yield at(placed.xattrBlock, encodeXattrBlock(inBlock, placed.xattrBlock, seed))
    }
    if (placed.runs.length === 0) continue
    yield* intoRuns(placed.runs, blocksOfInode(placed, context, signal))
    yield* treePieces(placed, inodeSeed(seed, placed.number))
  }
}

async function* blocksOfInode(
  { inode, number, sizeBytes }: PlacedInode,
  { layout, settings, seed }: ContentContext,
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array, void, undefined> {
  const { node } = inode
  if (node.type === 'directory') {
    yield* directoryBlocks(inode, {
      hashSeed: settings.hashSeed,
      seed: inodeSeed(seed, number),
      numberOf: layout.numberOf,
      blocksMin: number === inodeNumbers.lostAndFound ? lostAndFoundBlocks : 1,
    })
    return
  }
  let content: FileContent = new Uint8Array()
  if (node.type === 'file') content = node.content
  if (node.type === 'symlink') content = new TextEncoder().encode(node.target)
  yield* readContent(content, node.path, signal)
  yield new Uint8Array(Math.ceil(sizeBytes / blockBytes) * blockBytes - sizeBytes)
}

/** Puts a stream of as many bytes as the runs have into these. */
async function* intoRuns(
  runs: readonly Run[],
  chunks: AsyncIterable<Uint8Array>,
): AsyncGenerator<Piece, void, undefined> {
  const places = runs.map(({ start, blocks }) => ({
    offsetBytes: start * blockBytes,
    endBytes: (start + blocks) * blockBytes,
  }))
  let place = places.shift()
  for await (const chunk of chunks) {
    let rest = chunk
    while (rest.byteLength > 0) {
      if (place?.offsetBytes === place?.endBytes) place = places.shift()
      if (!place) throw new Error('more content than there are blocks for it')
      const bytes = rest.subarray(0, place.endBytes - place.offsetBytes)
      yield { offsetBytes: place.offsetBytes, bytes }
      place.offsetBytes += bytes.byteLength
      rest = rest.subarray(bytes.byteLength)
    }
  }
}

function* treePieces(placed: Placed, seed: number): Generator<Piece, void, undefined> {
  if (placed.treeBlocks.length === 0) return
  const { blocks } = encodeTree(placed.runs, placed.treeBlocks, seed)
  for (const [index, number] of placed.treeBlocks.entries()) {
    const bytes = blocks[index]
    if (bytes) yield at(number, bytes)
  }
}
