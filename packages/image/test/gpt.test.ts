import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { assert, asyncProperty, integer, nat, property, uint8Array } from 'fast-check'
import { afterAll, expect, test } from 'vitest'
import {
  GptError,
  partitionTypes,
  readGpt,
  writeGpt,
  type GptOptions,
  type GptPartition,
} from '../src/gpt.ts'
import { bytesAccess } from '../src/random-access.ts'

const folder = mkdtempSync(join(tmpdir(), 'solo-gpt-'))
afterAll(() => rmSync(folder, { recursive: true }))

const mebibyte = 1024 * 1024
const guidOf = (byte: number): string => {
  const pair = byte.toString(16).padStart(2, '0')
  return `${pair.repeat(4)}-${pair.repeat(2)}-4${pair}0-8${pair}0-${pair.repeat(6)}`
}

function partitionsOf(sectorBytes: number): GptPartition[] {
  const at = (first: number, end: number): Pick<GptPartition, 'firstLba' | 'lastLba'> => {
    const perMebibyte = mebibyte / sectorBytes
    return { firstLba: first * perMebibyte, lastLba: end * perMebibyte - 1 }
  }
  return [
    {
      number: 1,
      name: 'esp',
      type: partitionTypes.esp,
      guid: guidOf(0x1f),
      attributes: 0n,
      ...at(1, 9),
    },
    {
      number: 2,
      name: 'root-a',
      type: partitionTypes.rootX86_64,
      guid: guidOf(0x2f),
      attributes: 1n << 60n,
      ...at(9, 17),
    },
    {
      number: 5,
      name: 'Daten ☃',
      type: partitionTypes.var,
      guid: guidOf(0xff),
      attributes: 4n,
      ...at(20, 31),
    },
  ]
}

function optionsOf(sectorBytes = 512): GptOptions & { sectorBytes: number } {
  return {
    sizeBytes: 32 * mebibyte,
    diskGuid: guidOf(0xab),
    partitions: partitionsOf(sectorBytes),
    sectorBytes,
  }
}

/** All bytes of an empty disk with its tables. */
function diskOf(options: GptOptions): Uint8Array {
  const disk = new Uint8Array(options.sizeBytes)
  const { primary, backup, backupOffsetBytes } = writeGpt(options)
  disk.set(primary, 0)
  disk.set(backup, backupOffsetBytes)
  return disk
}

function fileOf(disk: Uint8Array): string {
  const path = join(folder, 'disk.img')
  writeFileSync(path, disk)
  return path
}

test('writeGpt() makes what sgdisk finds no problem with, and sfdisk and sgdisk read as it was meant', () => {
  const options = optionsOf()
  const file = fileOf(diskOf(options))
  expect(execFileSync('sgdisk', ['-v', file], { encoding: 'utf8' })).toContain('No problems found.')
  execFileSync('sfdisk', ['--verify', file])
  const { partitiontable } = JSON.parse(execFileSync('sfdisk', ['--json', file], { encoding: 'utf8' }))
  expect(partitiontable.id.toLowerCase()).toBe(options.diskGuid)
  const found = partitiontable.partitions.map((each: Record<string, string | number>) => {
    return [
      each['name'],
      String(each['type']).toLowerCase(),
      String(each['uuid']).toLowerCase(),
      each['start'],
      each['size'],
    ]
  })
  expect(found).toEqual(
    options.partitions.map((each) => [
      each.name,
      each.type,
      each.guid,
      each.firstLba,
      each.lastLba - each.firstLba + 1,
    ]),
  )
  const info = execFileSync('sgdisk', ['-i', '2', file], { encoding: 'utf8' })
  expect(info).toContain('Attribute flags: 1000000000000000')
})

test.each([512, 4096])(
  'readGpt() reads what writeGpt() wrote, with blocks of %i bytes',
  async (sectorBytes) => {
    const options = optionsOf(sectorBytes)
    const gpt = await readGpt(bytesAccess(diskOf(options)), { sectorBytes })
    expect(gpt).toEqual({
      diskGuid: options.diskGuid,
      partitions: options.partitions,
      sectorBytes,
      backupLba: options.sizeBytes / sectorBytes - 1,
      primaryProblem: undefined,
      backupProblem: undefined,
      copiesAgree: true,
      protectiveMbr: true,
    })
  },
)

test('readGpt() reads what sgdisk wrote', async () => {
  const file = fileOf(new Uint8Array(32 * mebibyte))
  execFileSync('sgdisk', [
    '-n',
    '3:2048:+4M',
    '-t',
    '3:ef00',
    '-c',
    '3:boot',
    '-u',
    `3:${guidOf(0x33)}`,
    file,
  ])
  const { partitions } = await readGpt(bytesAccess(readFileSync(file)))
  expect(partitions).toEqual([
    {
      number: 3,
      name: 'boot',
      type: partitionTypes.esp,
      guid: guidOf(0x33),
      firstLba: 2048,
      lastLba: 10_239,
      attributes: 0n,
    },
  ])
})

test('readGpt() takes the backup when any byte of the primary is torn, and says so', async () => {
  const options = optionsOf()
  const whole = diskOf(options)
  const { primary } = writeGpt(options)
  await assert(
    // Behind the MBR; the reserved rest of the header's block has no meaning.
    asyncProperty(nat(primary.length - 513), integer({ min: 1, max: 255 }), async (at, change) => {
      const offset = 512 + at
      if (offset >= 512 + 92 && offset < 1024) return
      const disk = whole.slice()
      disk[offset] = (disk[offset] ?? 0) ^ change
      const gpt = await readGpt(bytesAccess(disk))
      expect(gpt.partitions).toEqual(options.partitions)
      expect(gpt.primaryProblem).toBeTypeOf('string')
      expect(gpt.backupProblem).toBeUndefined()
    }),
    { numRuns: 30 },
  )
})

test('readGpt() says when the backup is gone, and when both are', async () => {
  const disk = diskOf(optionsOf())
  disk.fill(0, disk.length - 512)
  expect((await readGpt(bytesAccess(disk))).backupProblem).toBe('no GPT header')
  disk.fill(0, 0, 2048)
  await expect(readGpt(bytesAccess(disk))).rejects.toThrow(GptError)
  await expect(readGpt(bytesAccess(new Uint8Array(0)))).rejects.toThrow(/not on the disk/)
})

test('readGpt() is never misled by random bytes', async () => {
  await assert(
    asyncProperty(uint8Array({ maxLength: 4096 }), async (noise) => {
      await expect(readGpt(bytesAccess(noise))).rejects.toThrow(GptError)
    }),
  )
})

test('writeGpt() refuses partitions that overlap, leave the disk, share a number or have a wrong name', () => {
  const options = optionsOf()
  const [esp, root] = options.partitions as [GptPartition, GptPartition]
  const make =
    (...partitions: GptPartition[]) =>
    () =>
      writeGpt({ ...options, partitions })
  expect(make(esp, { ...root, firstLba: esp.lastLba })).toThrow('partitions 1 and 2 overlap')
  expect(make({ ...esp, firstLba: 33 })).toThrow(/leave 34 to/)
  expect(make({ ...esp, lastLba: 65_503 })).toThrow(RangeError)
  expect(make(esp, { ...root, number: 1 })).toThrow('partition 1 is there twice')
  expect(make({ ...esp, number: 129 })).toThrow(/from 1 to 128/)
  expect(make({ ...esp, name: 'x'.repeat(37) })).toThrow(TypeError)
  expect(make({ ...esp, guid: 'x' })).toThrow(TypeError)
  expect(() => writeGpt({ ...options, sizeBytes: 20_000 })).toThrow(/no room/)
  expect(() => writeGpt({ ...options, sectorBytes: 513 })).toThrow(/sectorBytes/)
})

test('writeGpt() puts the backup at the very end, whatever the size', () => {
  assert(
    property(integer({ min: 40_000, max: 2 ** 45 }), (sizeBytes) => {
      const { backup, backupOffsetBytes, firstUsableBytes, endUsableBytes } = writeGpt({
        sizeBytes,
        diskGuid: guidOf(1),
        partitions: [],
      })
      expect(backupOffsetBytes + backup.length).toBe(sizeBytes - (sizeBytes % 512))
      expect(endUsableBytes).toBe(backupOffsetBytes)
      expect(firstUsableBytes).toBe(34 * 512)
    }),
  )
})
