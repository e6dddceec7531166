// The judge of crash states on disks of which it is known what a machine makes of them.
import { createHash } from 'node:crypto'
import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { testFolder } from '../support/folder.ts'
import type { DiskView } from './disk-view.ts'
import { isGood, Judge, type Verdict, verdictText } from './judge.ts'
import { judgeOptionsOf, type SmallDisk, smallDisk, type SmallRelease, smallRelease } from './small-system.ts'
import { compareEntries, compareVersions, countedName, loaderEntry } from './systemd-boot.ts'

let one: SmallRelease
let two: SmallRelease
const folder = testFolder()

beforeAll(async () => {
  one = await smallRelease(1)
  two = await smallRelease(2)
}, 240_000)
afterAll(() => folder[Symbol.dispose]())

function view(bytes: Uint8Array): DiskView {
  return {
    sizeBytes: bytes.length,
    read: (offset, length) => bytes.slice(offset, offset + length),
    hashOf: (offset, length) =>
      createHash('sha1')
        .update(bytes.subarray(offset, offset + length))
        .digest('hex'),
  }
}

async function judged(disk: SmallDisk): Promise<Verdict> {
  return await new Judge(judgeOptionsOf([one, two])).judge(view(disk.bytes))
}

/** Changes bytes of a partition. */
function spoil(disk: SmallDisk, name: keyof SmallDisk['partitions'], offset: number, length = 1): void {
  const start = disk.partitions[name].startBytes + offset
  for (let at = start; at < start + length; at += 1) disk.bytes[at] = (disk.bytes[at] ?? 0) ^ 0xff
}

/** Where the kernel image of a release lies on the disk. */
function placeOf(disk: SmallDisk, { uki }: SmallRelease): number {
  const at = Buffer.from(disk.bytes.buffer).indexOf(uki)
  if (at < 0) throw new Error('the kernel image does not lie on the disk in one piece')
  return at - disk.partitions.esp.startBytes
}

describe('the judge', () => {
  test('starts the newer release, whichever slot it is in', async () => {
    expect(await judged(await smallDisk({ a: { release: one }, b: { release: two } }))).toMatchObject({
      ...{ version: '2', root: 'root-b', tries: 1 },
      entry: 'solob+3-0.efi',
    })
    expect(await judged(await smallDisk({ a: { release: two }, b: { release: one } }))).toMatchObject({
      ...{ version: '2', root: 'root-a', tries: 1 },
    })
  })

  test('starts the older release when the newer one has no tries left', async () => {
    const disk = await smallDisk({ a: { release: one }, b: { release: two, entry: 'solob+0-3.efi' } })
    expect(await judged(disk)).toMatchObject({ version: '1', tries: 1 })
  })

  test('uses up the tries of a release whose root is not there, and then starts the other', async () => {
    const disk = await smallDisk({ a: { release: one }, b: { release: two } })
    spoil(disk, 'root-b', 1024)
    const verdict = await judged(disk)
    expect(verdict).toMatchObject({ version: '1', tries: 4 })
    expect(verdict.failures).toHaveLength(3)
    expect(isGood(verdict)).toBe(true)
  })

  test('finds a root of which only the first block is right, though the machine would mount it', async () => {
    const disk = await smallDisk({ a: { release: one }, b: { release: two } })
    spoil(disk, 'root-b', 64 * 4096)
    const verdict = await judged(disk)
    expect(isGood(verdict)).toBe(false)
    expect(verdictText(verdict)).toMatch(/damaged: solob starts 2, whose root on root-b is half there/)
  })

  test('finds each flipped byte of a kernel image', async () => {
    for (const offset of [0, two.uki.length >> 1, two.uki.length - 1]) {
      const disk = await smallDisk({ a: { release: one }, b: { release: two } })
      spoil(disk, 'esp', placeOf(disk, two) + offset)
      const verdict = await judged(disk)
      // Without its first byte it is no program, and so no entry.
      expect([offset, isGood(verdict), verdict.version]).toEqual([offset, offset === 0, '1'])
    }
  })

  test('takes the backup of a torn partition table, and nothing boots without both', async () => {
    const disk = await smallDisk({ a: { release: one } })
    disk.bytes.fill(0x5a, 512, 1024)
    expect(await judged(disk)).toMatchObject({ version: '1' })
    disk.bytes.fill(0x5a, disk.bytes.length - 512)
    expect(verdictText(await judged(disk))).toMatch(/nothing boots: no partition table/)
  })

  test('tells an entry that is tried for ever from one that is counted', async () => {
    const uncounted = await smallDisk({ a: { release: one }, b: { release: two, entry: 'solo-b.efi' } })
    spoil(uncounted, 'root-b', 0)
    spoil(uncounted, 'root-b', 1024)
    expect(verdictText(await judged(uncounted))).toMatch(/nothing boots: solo-b\.efi is tried for ever/)
  })

  test('has nothing to start without the loader or without entries', async () => {
    expect(verdictText(await judged(await smallDisk({})))).toMatch(/nothing boots: the loader has no entry/)
    const options = judgeOptionsOf([one])
    const judge = new Judge({ ...options, loaderFiles: new Map([['/EFI/BOOT/BOOTX64.EFI', 'another']]) })
    const { bytes } = await smallDisk({ a: { release: one } })
    expect(verdictText(await judge.judge(view(bytes)))).toMatch(/BOOTX64\.EFI is not whole/)
  })

  test('judges alike what it remembers and what it sees for the first time', async () => {
    const judge = new Judge(judgeOptionsOf([one, two]))
    const disks = await Promise.all([
      smallDisk({ a: { release: one }, b: { release: two } }),
      smallDisk({ a: { release: one }, b: { release: two, entry: 'solob+0-3.efi' } }),
      smallDisk({ a: { release: two } }),
    ])
    const rounds: string[][] = []
    for (let round = 0; round < 2; round += 1) {
      const texts: string[] = []
      for (const { bytes } of disks) texts.push(verdictText(await judge.judge(view(bytes))))
      rounds.push(texts)
    }
    expect(rounds[1]).toEqual(rounds[0])
    expect(new Set(rounds[0]).size).toBe(3)
  })

  test('agrees with sgdisk, mtools and veritysetup on the disk that it calls good', async () => {
    const disk = await smallDisk({ a: { release: one }, b: { release: two } })
    const path = join(folder.path, 'disk.img')
    writeFileSync(path, disk.bytes)
    expect(execFileSync('sgdisk', ['-v', path], { encoding: 'utf8' })).toContain('No problems found')
    const { startBytes, sizeBytes } = disk.partitions['root-b']
    const root = join(folder.path, 'root-b.img')
    writeFileSync(root, disk.bytes.subarray(startBytes, startBytes + sizeBytes))
    const { rootHash, dataBlocks } = two.known.verity
    const verify = (): Buffer =>
      execFileSync('veritysetup', ['verify', root, root, rootHash, `--hash-offset=${dataBlocks * 4096}`], {
        stdio: 'pipe',
      })
    verify()
    const copied = join(folder.path, 'uki.efi')
    const image = `${path}@@${disk.partitions.esp.startBytes}`
    execFileSync('mcopy', ['-n', '-i', image, '::/EFI/Linux/solob+3-0.efi', copied])
    expect(execFileSync('sha256sum', [copied], { encoding: 'utf8' })).toContain(two.known.ukiDigest)
    spoil(disk, 'root-b', 64 * 4096)
    writeFileSync(root, disk.bytes.subarray(startBytes, startBytes + sizeBytes))
    expect(verify).toThrow(/Verification failed|Command failed/)
  })
})

describe('the order of systemd-boot', () => {
  const osRelease = (version: string): string => `ID=solo\nIMAGE_VERSION=${version}\n`
  const order = (...files: [file: string, version: string][]): string[] =>
    files
      .flatMap(([file, version]) => loaderEntry(file, osRelease(version)) ?? [])
      .toSorted(compareEntries)
      .map(({ file }) => file)

  test('is by version, the higher first, and entries without tries come last', () => {
    expect(order(['a+3-0.efi', '9'], ['b+1-2.efi', '10'])).toEqual(['b+1-2.efi', 'a+3-0.efi'])
    expect(order(['a+0-3.efi', '10'], ['b+3-0.efi', '9'])).toEqual(['b+3-0.efi', 'a+0-3.efi'])
    expect(order(['a.efi', '9'], ['b+0-3.efi', '10'])).toEqual(['a.efi', 'b+0-3.efi'])
  })

  test('counts a try in the name, and leaves a name without a counter alone', () => {
    const counted = (file: string): string | undefined => {
      const entry = loaderEntry(file, osRelease('1'))
      return entry && countedName(entry)
    }
    expect(counted('soloa+3-0.efi')).toBe('soloa+2-1.efi')
    expect(counted('soloa+0-3.efi')).toBe('soloa+0-4.efi')
    expect(counted('soloa+3.efi')).toBe('soloa+2-1.efi')
    expect(counted('solo-a.efi')).toBe('solo-a.efi')
  })

  // The examples of https://uapi-group.org/specifications/specs/version_format_specification/#examples
  test('compares versions as the specification has it', () => {
    const rising = [
      '122.1',
      '123~rc1-1',
      '123',
      '123-a',
      '123-a.1',
      '123-1',
      '123-1.1',
      '123^post1',
      '123.a-1',
      '123.1-1',
      '123a-1',
      '124-1',
    ]
    for (const [index, version] of rising.entries())
      for (const [other, later] of rising.entries())
        expect([version, later, Math.sign(compareVersions(version, later))]).toEqual([
          ...[version, later, Math.sign(index - other)],
        ])
    expect(compareVersions('1_', '1')).toBe(0)
    expect(Math.sign(compareVersions('9', '10'))).toBe(-1)
    expect(compareVersions('007', '7')).toBe(0)
  })
})
