import { describe, expect, test } from 'vitest'
import type { FileSource } from '../src/file-source.ts'
import { gptDisk, installGpt, readGpt, writeDisk, writeGpt } from '../src/gpt.ts'
import type { GptTables, InstallGptOptions } from '../src/gpt.ts'
import { namedGuid, randomGuid } from '../src/guid.ts'
import { applianceOptions, bytesOf, mebibyte, smallOptions } from './gpt-disks.ts'
import { collect } from './run.ts'

describe('installGpt()', () => {
  /** What a power cut can leave: the disk after each write, and with each one block of a write alone. */
  async function statesOf(
    before: Uint8Array,
    tables: GptTables,
    options: InstallGptOptions = {},
  ): Promise<Uint8Array[]> {
    const disk = before.slice()
    const states = [disk.slice()]
    const write = (bytes: Uint8Array, offsetBytes: number): void => {
      for (let start = 0; start < bytes.byteLength; start += 512) {
        const torn = disk.slice()
        torn.set(bytes.subarray(start, start + 512), offsetBytes + start)
        states.push(torn)
      }
      disk.set(bytes, offsetBytes)
      states.push(disk.slice())
    }
    await installGpt(tables, { write, flush: () => {} }, options)
    return states
  }

  test('leaves a whole table at every moment when a disk has grown', async () => {
    const before = new Uint8Array(3 * mebibyte)
    before.set(bytesOf(gptDisk(smallOptions)))
    const { partitions, diskGuid } = await readGpt(before)
    const tables = writeGpt({ sizeBytes: before.byteLength, diskGuid, partitions })
    const states = await statesOf(before, tables)
    for (const state of states) expect((await readGpt(state)).partitions).toEqual(partitions)
    const last = states.at(-1) ?? before
    expect(await readGpt(last)).toMatchObject({ copiesAgree: true, backupLba: 6143, protectiveMbr: true })
  })

  test('mends a torn primary without touching the backup before it is whole', async () => {
    const disk = gptDisk(smallOptions)
    const before = bytesOf(disk)
    before.fill(0xff, 512, 3000)
    const partitions = disk.partitions.map((partition) =>
      Object.assign({}, partition, { guid: randomGuid() }),
    )
    const renamed = writeGpt({ ...disk, partitions, diskGuid: namedGuid('new') })
    const outcomes = async (last: 'primary' | 'backup'): Promise<string[]> => {
      const states = await statesOf(before, renamed, { last })
      return (await Promise.allSettled(states.map((state) => readGpt(state)))).map(({ status }) => status)
    }
    expect(await outcomes('backup')).not.toContain('rejected')
    // The other order would not have done.
    expect(await outcomes('primary')).toContain('rejected')
  })

  test('flushes after each copy', async () => {
    const log: string[] = []
    const target = {
      write: async (_: Uint8Array, offsetBytes: number) => void log.push(`write ${offsetBytes}`),
      flush: async () => void log.push('flush'),
    }
    const disk = gptDisk(applianceOptions())
    await installGpt(disk, target)
    expect(log).toEqual([`write ${disk.backupOffsetBytes}`, 'flush', 'write 0', 'flush'])
  })
})

describe('writeDisk()', () => {
  test('puts contents where their partitions begin', async () => {
    const disk = gptDisk(applianceOptions())
    const source: FileSource = {
      sizeBytes: 700_000,
      async *open() {
        for (let part = 0; part < 7; part++) yield new Uint8Array(100_000).fill(part + 1)
      },
    }
    const progress: number[] = []
    const stream = writeDisk(
      disk,
      { 4: Uint8Array.of(4), 2: source },
      { onProgress: (doneBytes) => progress.push(doneBytes) },
    )
    const bytes = await collect(stream)
    expect(bytes.byteLength).toBe(disk.sizeBytes)
    expect(progress.at(-1)).toBe(disk.sizeBytes)
    expect(progress).toEqual(progress.toSorted((left, right) => left - right))
    expect(bytes[9 * mebibyte]).toBe(1)
    expect(bytes[9 * mebibyte + 699_999]).toBe(7)
    expect(bytes[9 * mebibyte + 700_000]).toBe(0)
    expect(bytes[41 * mebibyte]).toBe(4)
    expect((await readGpt(bytes)).copiesAgree).toBe(true)
  })

  test('refuses contents without a partition, or too large for it; ends by its signal', async () => {
    const disk = gptDisk(applianceOptions())
    expect(() => writeDisk(disk, { 5: new Uint8Array() })).toThrow(
      'partition 5, which the disk does not have',
    )
    const huge: FileSource = { sizeBytes: 8 * mebibyte + 1, open: () => (async function* () {})() }
    expect(() => writeDisk(disk, { 1: huge })).toThrow('partition 1 (esp): contents of 8388609 bytes')
    const promised: FileSource = { sizeBytes: 5, open: () => (async function* () {})() }
    await expect(collect(writeDisk(disk, { 1: promised }))).rejects.toThrow('partition 1 (esp): its source')
    const signal = AbortSignal.abort(new Error('enough'))
    await expect(collect(writeDisk(disk, {}, { signal }))).rejects.toThrow('enough')
  })
})
