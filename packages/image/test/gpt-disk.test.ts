import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { crc32 } from '../src/checksum/crc32.ts'
import { GptError, gptDisk, partitionAttributes, partitionTypes, readGpt } from '../src/gpt.ts'
import type { NewGptPartition } from '../src/gpt.ts'
import { namedGuid } from '../src/guid.ts'
import { bytesAccess } from '../src/random-access.ts'
import { applianceOptions, bytesOf, fileOf, mebibyte, smallOptions } from './gpt-disks.ts'
import { run, runOk, temporaryFolder } from './run.ts'

const slow = { timeout: 240_000 }

interface SfdiskTable {
  readonly id: string
  readonly firstlba: number
  readonly lastlba: number
  readonly partitions?: readonly {
    readonly start: number
    readonly size: number
    readonly type: string
    readonly uuid: string
    readonly name?: string
    readonly attrs?: string
  }[]
}

/** What sfdisk, which judges it first, reads from a disk. */
function sfdisk(path: string): SfdiskTable {
  const { status, stdout, stderr } = run(['sfdisk', '--verify', path])
  expect(status, stdout + stderr).toBe(0)
  expect(stdout + stderr).toMatch(/^No errors detected\.$/m)
  const parsed: { partitiontable: SfdiskTable } = JSON.parse(runOk(['sfdisk', '--json', path]))
  return parsed.partitiontable
}

/** Has fdisk, which unlike sfdisk knows other blocks than 512 in files, do what its menu's letters say. */
function fdisk(path: string, ...lines: string[]): string {
  const input = new TextEncoder().encode(`${lines.join('\n')}\n`)
  return runOk(['fdisk', '--sector-size=4096', path], { input, env: { LC_ALL: 'C.UTF-8' } })
}

describe('gptDisk()', () => {
  test('gives sfdisk the table that it says', slow, () => {
    const disk = gptDisk(applianceOptions())
    const table = sfdisk(fileOf(disk))
    expect(table.id.toLowerCase()).toBe(disk.diskGuid)
    expect(table.firstlba * 512).toBe(disk.firstUsableBytes)
    expect((table.lastlba + 1) * 512).toBe(disk.endUsableBytes)
    const seen = table.partitions?.map(({ start, size, type, uuid, name, attrs }) => {
      return [start * 512, size * 512, type.toLowerCase(), uuid.toLowerCase(), name, attrs]
    })
    const attributes = [undefined, 'GUID:60', undefined, 'GUID:59']
    expect(seen).toEqual(
      disk.partitions.map(({ startBytes, sizeBytes, type, guid, name }, index) => {
        return [startBytes, sizeBytes, type, guid, name, attributes[index]]
      }),
    )
    const places = disk.partitions.map(({ startBytes, sizeBytes }) => [startBytes, sizeBytes])
    expect(places.flat().map((bytes) => bytes / mebibyte)).toEqual([1, 8, 9, 16, 25, 16, 41, 22])
  })

  test('gives fdisk and partx the table that it says, in blocks of 4096', slow, () => {
    const disk = gptDisk(applianceOptions(4096))
    const path = fileOf(disk)
    expect(fdisk(path, 'v', 'q')).toContain('No errors detected.')
    const columns = '--output=NR,START,SECTORS,UUID,TYPE,NAME'
    const seen = runOk(['partx', '--sector-size=4096', '--raw', '--noheadings', columns, path])
    const expected = disk.partitions.map(({ number, startBytes, sizeBytes, guid, type, name }) =>
      // partx counts in 512 bytes whatever the blocks are.
      [number, startBytes / 512, sizeBytes / 512, guid, type, name].join(' '),
    )
    expect(seen.trim().split('\n')).toEqual(expected)
  })

  test('is found right by sgdisk, with types that sfdisk has names for', slow, () => {
    expect(runOk(['sgdisk', '-v', fileOf(gptDisk(applianceOptions()))])).toContain('No problems found')
    const types = runOk(['sfdisk', '--label=gpt', '--list-types']).toLowerCase()
    for (const type of Object.values(partitionTypes)) expect(types).toContain(type)
  })

  test('puts partitions where they ask, fills gaps, and keeps their numbers', () => {
    const { partitions } = gptDisk({
      ...applianceOptions(),
      alignBytes: 4096,
      partitions: [
        { name: 'c', type: partitionTypes.linux, guid: namedGuid('c'), startBytes: 20 * mebibyte, number: 7 },
        { name: 'a', type: partitionTypes.linux, guid: namedGuid('a'), startBytes: 34 * 512, sizeBytes: 512 },
        { name: 'b', type: partitionTypes.linux, guid: namedGuid('b') },
      ],
    })
    expect(partitions.map(({ number, firstLba, lastLba }) => [number, firstLba, lastLba])).toEqual([
      [7, 40_960, 131_031],
      [2, 34, 34],
      [3, 40, 40_959],
    ])
  })

  test('takes 128 partitions and not one more', async () => {
    const partitions = Array.from({ length: 128 }, (_, index) => ({
      name: '',
      type: partitionTypes.linux,
      guid: namedGuid(String(index)),
      sizeBytes: 4096,
    }))
    const options = { ...applianceOptions(), alignBytes: 4096 }
    const path = fileOf(gptDisk({ ...options, partitions }))
    expect(sfdisk(path).partitions).toHaveLength(128)
    const more = [
      ...partitions,
      { name: '', type: partitionTypes.linux, sizeBytes: 4096, guid: namedGuid('128') },
    ]
    expect(() => gptDisk({ ...options, partitions: more })).toThrow(/number from 1 to 128/)
  })

  test('refuses what cannot be, and names the partition', () => {
    const options = applianceOptions()
    const one: NewGptPartition = { name: 'p', type: partitionTypes.linux, guid: namedGuid('p') }
    const divided =
      (...partitions: NewGptPartition[]) =>
      () =>
        gptDisk({ ...options, partitions })
    expect(divided({ ...one, sizeBytes: 1000 })).toThrow('partition 1: sizeBytes 1000 is no multiple of 512')
    expect(divided({ ...one, startBytes: 512.5 })).toThrow(RangeError)
    expect(divided({ ...one, sizeBytes: 0 })).toThrow('partition 1: nothing is left')
    expect(divided(one, { ...one, guid: namedGuid('q') })).toThrow('partition 2: nothing is left')
    expect(divided({ ...one, startBytes: 0 })).toThrow(/leave 34 to/)
    expect(divided({ ...one, sizeBytes: 63 * mebibyte })).toThrow(/leave 34 to/)
    const twin = { ...one, sizeBytes: mebibyte }
    expect(divided(twin, { ...twin, guid: twin.guid.toUpperCase() })).toThrow('have the same GUID')
    expect(divided(twin, { ...twin, guid: namedGuid('q'), startBytes: mebibyte })).toThrow('1 and 2 overlap')
    expect(divided({ ...one, attributes: -1n })).toThrow('bigint of 64 bits')
    expect(divided({ ...one, attributes: 4 as unknown as bigint })).toThrow('bigint of 64 bits')
    expect(divided({ ...one, name: '\ud83d' })).toThrow(TypeError)
    expect(divided({ ...one, type: '00000000-0000-0000-0000-000000000000' })).toThrow('unused')
    expect(() => gptDisk({ ...options, diskGuid: 'x' })).toThrow('diskGuid: uuid is "x"')
    expect(divided({ ...one, type: 'efi' })).toThrow('partition 1: type: uuid is "efi"')
    expect(() => gptDisk({ ...options, sizeBytes: 64 * mebibyte + 1 })).toThrow('no multiple of the block')
    expect(() => gptDisk({ ...options, sizeBytes: 4096 })).toThrow('no room')
    expect(() => gptDisk({ ...options, sectorBytes: 520 })).toThrow('sectorBytes')
    expect(() => gptDisk({ ...options, alignBytes: 100 })).toThrow('alignBytes')
  })

  test('is found right by sgdisk and sfdisk, and read back, whatever the partitions', slow, async () => {
    const anyPartition = fc.record({
      name: fc
        .string({ maxLength: 36, unit: 'binary' })
        .map((name) => name.replaceAll('\0', '').slice(0, 30)),
      type: fc.constantFrom(...Object.values(partitionTypes)),
      blocks: fc.integer({ min: 1, max: 3000 }),
      attributes: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
    })
    const anyDisk = fc.record({
      partitions: fc.array(anyPartition, { maxLength: 12 }),
      alignBytes: fc.constantFrom(512, 4096, mebibyte),
      sectors: fc.integer({ min: 65_536, max: 70_000 }),
    })
    const property = fc.asyncProperty(anyDisk, async ({ partitions, alignBytes, sectors }) => {
      const disk = gptDisk({
        sizeBytes: sectors * 512,
        diskGuid: namedGuid(`${sectors}`),
        alignBytes,
        partitions: partitions.map(({ blocks, ...partition }, index) => ({
          ...partition,
          name: partition.name.toWellFormed(),
          guid: namedGuid(`${index}`),
          sizeBytes: blocks * 512,
        })),
      })
      const path = fileOf(disk)
      expect(runOk(['sgdisk', '-v', path])).toMatch(/No problems found/)
      expect(sfdisk(path).partitions ?? []).toHaveLength(partitions.length)
      const read = await readGpt(bytesOf(disk))
      expect(read.copiesAgree).toBe(true)
      expect(disk.partitions).toMatchObject(read.partitions)
    })
    await fc.assert(property, { numRuns: 25 })
  })
})

describe('readGpt()', () => {
  test.each([512, 4096])('finds blocks of %i by itself', async (sectorBytes) => {
    const bytes = bytesOf(gptDisk(applianceOptions(sectorBytes)))
    expect((await readGpt(bytes)).sectorBytes).toBe(sectorBytes)
    bytes.fill(0, 0, 40_000)
    const table = await readGpt(bytes)
    expect(table).toMatchObject({ sectorBytes, copiesAgree: false, protectiveMbr: false })
    expect(table.primaryProblem).toBe('no GPT header')
  })

  test('reads what fdisk made in blocks of 4096', slow, async () => {
    const path = join(temporaryFolder(), 'disk.img')
    writeFileSync(path, new Uint8Array(64 * mebibyte))
    const name = ['x', 'n', '1', 'ä boot', 'r']
    fdisk(path, 'g', 'n', '1', '256', '1279', 'n', '2', '', '', 't', '1', 'uefi', ...name, 'w')
    const table = await readGpt(new Uint8Array(readFileSync(path)))
    expect(table).toMatchObject({ sectorBytes: 4096, copiesAgree: true, protectiveMbr: true })
    const [boot, rest] = table.partitions
    expect(boot).toMatchObject({ name: 'ä boot', type: partitionTypes.esp, firstLba: 256, lastLba: 1279 })
    expect(rest).toMatchObject({ number: 2, type: partitionTypes.linux, firstLba: 1280 })
  })

  test('reads what sfdisk made: a number left out, attributes, names', slow, async () => {
    const path = join(temporaryFolder(), 'disk.img')
    writeFileSync(path, new Uint8Array(8 * mebibyte))
    const script = `label: gpt\nlabel-id: ${namedGuid('x')}\n3: size=4M, type=U, name="ä boot", attrs="RequiredPartition,GUID:63"\n`
    runOk(['sfdisk', path], { input: new TextEncoder().encode(script), env: { LC_ALL: 'C.UTF-8' } })
    const table = await readGpt(new Uint8Array(readFileSync(path)))
    expect(table).toMatchObject({ diskGuid: namedGuid('x'), copiesAgree: true })
    expect(table.partitions).toMatchObject([{ number: 3, name: 'ä boot', type: partitionTypes.esp }])
    expect(table.partitions[0]?.attributes).toBe(partitionAttributes.required | partitionAttributes.noAuto)
  })

  test('takes a whole primary in blocks of 4096 before a backup in blocks of 512 that is left over', async () => {
    const bytes = bytesOf(gptDisk({ ...smallOptions, sectorBytes: 4096 }))
    const old = gptDisk({ ...smallOptions, diskGuid: namedGuid('old') })
    // The last block of 4096 bytes, which held the header of the backup, now ends with another one.
    bytes.set(old.backup, old.backupOffsetBytes)
    expect(await readGpt(bytes)).toMatchObject({ sectorBytes: 4096, diskGuid: namedGuid('small') })
    expect(await readGpt(bytes, { sectorBytes: 512 })).toMatchObject({ diskGuid: namedGuid('old') })
  })

  test('tells copies that differ: the backup of another table', async () => {
    const bytes = bytesOf(gptDisk(applianceOptions()))
    const other = gptDisk({ ...applianceOptions(), diskGuid: namedGuid('other') })
    bytes.set(other.backup, other.backupOffsetBytes)
    const table = await readGpt(bytes)
    expect(table).toMatchObject({ diskGuid: namedGuid('disk'), copiesAgree: false })
    expect([table.primaryProblem, table.backupProblem]).toEqual([undefined, undefined])
  })

  test('finds the old backup of a disk that has grown, and refuses the table of one that was cut', async () => {
    const disk = gptDisk(applianceOptions())
    const grown = new Uint8Array(96 * mebibyte)
    grown.set(bytesOf(disk))
    expect(await readGpt(grown)).toMatchObject({ copiesAgree: true, backupLba: disk.sizeBytes / 512 - 1 })
    const cut = grown.subarray(0, 60 * mebibyte)
    await expect(readGpt(cut)).rejects.toThrow(/primary: usable blocks 34 to 131038 on a disk of 122880/)
  })

  test.each<[string, (header: DataView) => void, RegExp]>([
    ['revision 2', (header) => header.setUint32(8, 0x2_0000, true), /revision 0x20000/],
    ['entries of 200 bytes', (header) => header.setUint32(84, 200, true), /entries of 200 bytes/],
    ['billions of entries', (header) => header.setUint32(80, 0xffff_ffff, true), /4294967295 entries/],
    ['entries beyond the end', (header) => header.setBigUint64(72, 2n ** 63n, true), /not on the disk/],
    ['entries among partitions', (header) => header.setBigUint64(72, 4000n, true), /where partitions may be/],
    ['entries over the header', (header) => header.setBigUint64(72, 1n, true), /not on the disk/],
    ['usable blocks beyond the end', (header) => header.setBigUint64(48, 2n ** 40n, true), /usable blocks/],
    ['usable blocks from the header on', (header) => header.setBigUint64(40, 1n, true), /may be/],
    ['no usable block', (header) => header.setBigUint64(40, 2n ** 33n, true), /usable blocks/],
  ])('refuses a header with %s, although its checksum is right', async (_, change, problem) => {
    const bytes = bytesOf(gptDisk(applianceOptions()))
    const header = bytes.subarray(512, 512 + 92)
    const view = new DataView(header.buffer, header.byteOffset, header.byteLength)
    change(view)
    view.setUint32(16, 0, true)
    view.setUint32(16, crc32(header), true)
    expect((await readGpt(bytes)).primaryProblem).toMatch(problem)
  })

  test('says of both block sizes what is wrong when there is no table', async () => {
    const reading = readGpt(bytesAccess(new Uint8Array(mebibyte)))
    await expect(reading).rejects.toThrow(GptError)
    await expect(reading).rejects.toThrow(
      /in blocks of 512: primary: no GPT header; backup.*in blocks of 4096/,
    )
    await expect(readGpt(new Uint8Array(), { sectorBytes: 1 })).rejects.toThrow(RangeError)
  })
})
