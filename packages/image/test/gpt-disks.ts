/** Disks to be divided, in memory and as files. */
import { closeSync, ftruncateSync, openSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { partitionAttributes, partitionTypes } from '../src/gpt.ts'
import type { GptDisk, GptDiskOptions, NewGptPartition } from '../src/gpt.ts'
import { namedGuid } from '../src/guid.ts'
import { temporaryFolder } from './run.ts'

/** In bytes. */
export const mebibyte: number = 1024 * 1024

/** A disk as Solo's: four partitions, the last of which takes what is left. */
export function applianceOptions(sectorBytes = 512): GptDiskOptions {
  const partition = (name: string, type: string, size?: number): NewGptPartition => ({
    name,
    type,
    guid: namedGuid(name),
    ...(size === undefined ? {} : { sizeBytes: size * mebibyte }),
  })
  return {
    sizeBytes: 64 * mebibyte,
    sectorBytes,
    diskGuid: namedGuid('disk'),
    partitions: [
      partition('esp', partitionTypes.esp, 8),
      { ...partition('root-a', partitionTypes.rootX86_64, 16), attributes: partitionAttributes.readOnly },
      partition('root-b', partitionTypes.rootX86_64, 16),
      { ...partition('data', partitionTypes.var), attributes: partitionAttributes.growFileSystem },
    ],
  }
}

/** Three small partitions on 2 MiB, which are copied often. */
export const smallOptions: GptDiskOptions = {
  sizeBytes: 2 * mebibyte,
  diskGuid: namedGuid('small'),
  alignBytes: 65_536,
  partitions: ['a', 'b', 'c'].map((name) => ({
    name,
    type: partitionTypes.linux,
    guid: namedGuid(name),
    sizeBytes: 8 * 65_536,
  })),
}

/** The whole disk in memory, without contents. */
export function bytesOf({ sizeBytes, primary, backup, backupOffsetBytes }: GptDisk): Uint8Array {
  const bytes = new Uint8Array(sizeBytes)
  bytes.set(primary)
  bytes.set(backup, backupOffsetBytes)
  return bytes
}

/** The whole disk as a sparse file. */
export function fileOf({ sizeBytes, primary, backup, backupOffsetBytes }: GptDisk): string {
  const path = join(temporaryFolder(), 'disk.img')
  const fd = openSync(path, 'w')
  ftruncateSync(fd, sizeBytes)
  writeSync(fd, primary, 0, primary.byteLength, 0)
  writeSync(fd, backup, 0, backup.byteLength, backupOffsetBytes)
  closeSync(fd)
  return path
}
