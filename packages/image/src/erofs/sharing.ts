/**
 * Finds files of equal content, so that they can have the same blocks. Only files of equal size can be equal, so only
 * those are read.
 */
import { createHash } from 'node:crypto'
import { readContent } from '../stream/content.ts'
import type { ContentKeys, PlacedInode } from './layout.ts'

/** A key for each of `files` that may be equal to another: its SHA-256. */
export async function contentKeys(files: readonly PlacedInode[], signal?: AbortSignal): Promise<ContentKeys> {
  const counts = new Map<number, number>()
  for (const { sizeBytes } of files) counts.set(sizeBytes, (counts.get(sizeBytes) ?? 0) + 1)
  const keys = new Map<PlacedInode, string>()
  for (const file of files) {
    const { node } = file.inode
    if (node.type !== 'file' || counts.get(file.sizeBytes) === 1) continue
    const hash = createHash('sha256')
    for await (const chunk of readContent(node.content, node.path, signal)) hash.update(chunk)
    keys.set(file, hash.digest('hex'))
  }
  return keys
}
