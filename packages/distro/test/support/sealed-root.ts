// Small roots for stage 1: busybox and a script in an EROFS image with its hash tree, and disks that hold them.
import { randomUUID } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { prepareErofs } from '@pkg/image/erofs'
import { gptDisk, partitionTypes } from '@pkg/image/gpt'
import { FileTree } from '@pkg/image/tree'
import { VerityHasher } from '@pkg/image/verity'
import type { Stage1Verity } from '../../src/stage1.ts'

/** An image, followed by its hash tree. */
export interface TestRoot {
  readonly bytes: Uint8Array
  readonly imageId: string
  readonly verity: Stage1Verity
}

/** A file of the root that is long enough to have blocks of its own; see {@link TestRoot.bytes}. */
export const largeFile: Uint8Array = new Uint8Array(300_000).fill(0x5a)

/** A root whose PID 1 is a shell that runs `script`, with every applet of busybox. */
export async function testRoot(script: string): Promise<TestRoot> {
  return await sealedRoot({
    '/bin/busybox': readFileSync('/bin/busybox'),
    '/start.sh': new TextEncoder().encode(script),
    '/large': largeFile,
  })
}

/** A root with these files, all of them executable. */
export async function sealedRoot(files: Readonly<Record<string, Uint8Array>>): Promise<TestRoot> {
  const tree = new FileTree()
  for (const path of ['/dev', '/proc', '/sys']) tree.add({ path, type: 'directory' })
  for (const [path, content] of Object.entries(files)) tree.add({ path, type: 'file', mode: 0o755, content })
  const image = await prepareErofs(tree, { rank: ({ path }) => (path === '/large' ? 1 : 0) })
  const hasher = new VerityHasher({ salt: new Uint8Array(32).fill(7), uuid: image.uuid })
  const chunks: Uint8Array[] = []
  for await (const chunk of image.open()) {
    hasher.update(chunk)
    chunks.push(chunk)
  }
  const tree256 = hasher.finish()
  const { rootHash, salt, dataBlocks, hashStartBlock } = tree256
  return {
    bytes: Buffer.concat([...chunks, ...tree256.bytes()]),
    imageId: image.uuid,
    verity: { rootHash, salt: Buffer.from(salt).toString('hex'), dataBlocks, hashStartBlock },
  }
}

/** A copy with one bit changed. */
export function flipped(bytes: Uint8Array, offset: number): Uint8Array {
  const copy = Uint8Array.from(bytes)
  copy[offset] = (copy[offset] ?? 0) ^ 1
  return copy
}

const MiB = 1024 ** 2

/** Writes a disk with a GPT whose partitions begin with these bytes. */
export function writeDisk(file: string, contents: readonly Uint8Array[]): void {
  const partitions = contents.map((content, index) => ({
    name: `part${index + 1}`,
    type: partitionTypes.var,
    guid: randomUUID(),
    sizeBytes: Math.max(1, Math.ceil(content.length / MiB)) * MiB,
  }))
  const usedMiB = 2 + partitions.reduce((sum, partition) => sum + partition.sizeBytes / MiB, 0)
  // A power of two: QEMU takes no SD card of another size.
  const sizeBytes = 2 ** Math.ceil(Math.log2(usedMiB)) * MiB
  const disk = gptDisk({ sizeBytes, diskGuid: randomUUID(), partitions })
  const bytes = new Uint8Array(sizeBytes)
  bytes.set(disk.primary)
  bytes.set(disk.backup, disk.backupOffsetBytes)
  for (const [index, { startBytes }] of disk.partitions.entries())
    bytes.set(contents[index] ?? [], startBytes)
  writeFileSync(file, bytes)
}
