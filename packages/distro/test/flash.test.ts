// solo flash onto loop devices: the kernel's own block devices, with a file of ours as the medium. Needs root.
import { execFileSync, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { closeSync, mkdirSync, openSync, readFileSync, truncateSync, writeFileSync, writeSync } from 'node:fs'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { randomGuid } from '@pkg/image/guid'
import { gptDisk, partitionTypes } from '@pkg/image/gpt'
import { afterAll, expect, test } from 'vitest'
import { flash, inspectTarget, nameOfTarget } from '../src/flash.ts'
import { testFolder } from './support/folder.ts'

const MiB = 1024 * 1024
const root = testFolder()
const loops: string[] = []

afterAll(() => {
  for (const loop of loops) run('losetup', '-d', loop)
  root[Symbol.dispose]()
})

function run(program: string, ...args: string[]): string {
  return execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] }).trim()
}

/** Has the kernel know the partitions, also one that reads no GPT. */
function findPartitions(device: string): void {
  run('partx', '--update', device)
}

/** A device whose medium is full of something else. */
function medium(name: string, sizeMiB: number): { file: string; device: string } {
  const file = join(root.path, name)
  writeFileSync(file, Buffer.alloc(sizeMiB * MiB, 0x5a))
  const device = run('losetup', '--find', '--show', '--partscan', file)
  loops.push(device)
  return { file, device }
}

/** An image of 24 MiB: two partitions, the first with 9 MiB of data behind a hole, the second a hole. */
function diskImage(name: string): string {
  const partitions = [
    { name: 'one', type: partitionTypes.var, guid: randomGuid(), sizeBytes: 14 * MiB },
    { name: 'two', type: partitionTypes.var, guid: randomGuid(), sizeBytes: 8 * MiB },
  ]
  const layout = gptDisk({ sizeBytes: 24 * MiB, diskGuid: randomGuid(), partitions })
  const path = join(root.path, name)
  const file = openSync(path, 'w')
  truncateSync(path, 24 * MiB)
  writeSync(file, layout.primary, 0, layout.primary.length, 0)
  writeSync(file, randomBytes(9 * MiB), 0, 9 * MiB, 3 * MiB)
  writeSync(file, layout.backup, 0, layout.backup.length, layout.backupOffsetBytes)
  closeSync(file)
  return path
}

test('flash() writes data and holes, and clears the end of the device', async () => {
  const image = diskImage('whole.img')
  const { file, device } = medium('stick', 64)
  const said: string[] = []
  const target = await inspectTarget(device)
  expect(target).toMatchObject({ model: file, sizeBytes: 64 * MiB, sectorBytes: 512, partitions: [] })
  expect(nameOfTarget(target)).toBe(`${file} 67.1 MB`)
  await flash(image, target, {
    progress: {
      step: (name) => said.push(name),
      percent: (_, percent) => expect(percent).toBeLessThanOrEqual(100),
      note: () => {},
      done: (detail) => said.push(detail),
    },
  })
  expect(said).toEqual([
    'write',
    `24 MiB on ${device}`,
    'verify',
    'everything was read back as it was written',
  ])
  const [wanted, found] = [readFileSync(image), readFileSync(file)]
  expect(found.subarray(0, 24 * MiB).equals(wanted)).toBe(true)
  expect(found.subarray(24 * MiB, 63 * MiB).equals(Buffer.alloc(39 * MiB, 0x5a))).toBe(true)
  expect(found.subarray(63 * MiB).equals(Buffer.alloc(MiB))).toBe(true)
  findPartitions(device)
  expect((await inspectTarget(device)).partitions).toEqual([`${basename(device)}p1`, `${basename(device)}p2`])
  // The image's backup table is not at the end of a larger device: the first boot moves it there.
  expect(run('sgdisk', '--verify', device)).toMatch(
    /^Problem: The secondary header's self-pointer[^]*Identified 1 problems!$/,
  )
})

test('inspectTarget() refuses what is in use, with where; and what is no whole disk', async () => {
  const image = diskImage('used.img')
  const { device } = medium('used', 32)
  await flash(image, await inspectTarget(device))
  findPartitions(device)
  const [first, second] = [`${device}p1`, `${device}p2`]
  await expect(inspectTarget(first)).rejects.toThrow(
    `${first} is a partition, expected a whole disk, such as ${device}`,
  )
  await expect(inspectTarget('/dev/null')).rejects.toThrow('/dev/null is no block device')
  await expect(inspectTarget('/dev/none')).rejects.toThrow('/dev/none does not exist')

  run('mke2fs', '-q', first)
  const folder = join(root.path, 'mounted')
  mkdirSync(folder)
  run('mount', first, folder)
  try {
    await expect(inspectTarget(device)).rejects.toThrow(
      `${device} is in use: ${first} is mounted on ${folder}`,
    )
  } finally {
    run('umount', folder)
  }
  run('mkswap', second)
  run('swapon', second)
  try {
    await expect(inspectTarget(device)).rejects.toThrow(`${device} is in use: ${second} is swap`)
  } finally {
    run('swapoff', second)
  }
})

test('flash() refuses a device that came into use after it was looked at, and writes nothing', async () => {
  const image = diskImage('late.img')
  const { file, device } = medium('late', 32)
  await flash(image, await inspectTarget(device))
  const target = await inspectTarget(device)
  findPartitions(device)
  run('mke2fs', '-q', `${device}p1`)
  const folder = join(root.path, 'late-mount')
  mkdirSync(folder)
  run('mount', `${device}p1`, folder)
  try {
    run('sync')
    const before = readFileSync(file)
    await expect(flash(diskImage('other.img'), target)).rejects.toThrow(`${device}: it is in use`)
    expect(readFileSync(file).subarray(0, MiB).equals(before.subarray(0, MiB))).toBe(true)
  } finally {
    run('umount', folder)
  }
})

test('flash() finds a device that does not keep what it was given, and leaves it without a table', async () => {
  const { file, device } = medium('liar', 32)
  const spoil = (step: string): void => {
    if (step !== 'verify') return
    const opened = openSync(file, 'r+')
    writeSync(opened, Buffer.of(1), 0, 1, 5 * MiB)
    closeSync(opened)
  }
  const progress = { step: spoil, percent: () => {}, note: () => {}, done: () => {} }
  await expect(flash(diskImage('spoilt.img'), await inspectTarget(device), { progress })).rejects.toThrow(
    new RegExp(
      `^${device}: what was written at byte \\d+ is not what is read there: .*; it has no partition table`,
    ),
  )
  expect(readFileSync(file).subarray(0, MiB).equals(Buffer.alloc(MiB))).toBe(true)
})

test('flash() refuses an image that is none, or too large', async () => {
  const { file, device } = medium('small', 16)
  const target = await inspectTarget(device)
  await expect(flash(diskImage('large.img'), target)).rejects.toThrow(
    /large\.img: has 25165824 bytes, .* has room for 16777216: take a larger device/,
  )
  const archive = join(root.path, 'archive.zip')
  writeFileSync(archive, randomBytes(3 * MiB).fill(0, 0, 512))
  await expect(flash(archive, target)).rejects.toThrow('archive.zip: expected a disk image')
  expect(readFileSync(file).equals(Buffer.alloc(16 * MiB, 0x5a))).toBe(true)
})

const solo = fileURLToPath(new URL('../src/solo.ts', import.meta.url))

/** The command, with nobody at a terminal. */
async function command(...args: string[]): Promise<{ status: number | null; error: string }> {
  const child = spawn(process.execPath, [solo, 'flash', ...args], { stdio: ['ignore', 'ignore', 'pipe'] })
  let error = ''
  child.stderr.on('data', (chunk: Buffer) => (error += chunk.toString()))
  const status = await new Promise<number | null>((resolve) => child.once('close', resolve))
  return { status, error }
}

test('solo flash writes only when model and size are given as they are', async () => {
  const image = diskImage('cli.img')
  const { file, device } = medium('cli', 32)
  const asked = await command(image, device)
  expect(asked).toEqual({
    status: 2,
    error: `solo: ${device} is ${file} 33.6 MB: to erase it without being asked, add --erase '${file} 33.6 MB'\n`,
  })
  const wrong = await command(image, device, '--erase', 'SanDisk Ultra 31.9 GB')
  expect(wrong.error).toContain(`not "SanDisk Ultra 31.9 GB": nothing was written`)
  expect(readFileSync(file).equals(Buffer.alloc(32 * MiB, 0x5a))).toBe(true)
  const right = await command(image, device, '--erase', `${file} 33.6 MB`)
  expect(right.status).toBe(0)
  expect(
    readFileSync(file)
      .subarray(0, 24 * MiB)
      .equals(readFileSync(image)),
  ).toBe(true)
})

/** An image without holes, of 320 MiB: a disk takes its time for it. */
function longImage(name: string): string {
  const path = join(root.path, name)
  const sizeBytes = 320 * MiB
  const layout = gptDisk({ sizeBytes, diskGuid: randomGuid(), partitions: [] })
  const file = openSync(path, 'w')
  const piece = randomBytes(16 * MiB)
  for (let at = 0; at < sizeBytes; at += piece.length) writeSync(file, piece, 0, piece.length, at)
  writeSync(file, layout.primary, 0, layout.primary.length, 0)
  closeSync(file)
  return path
}

test('solo flash at a terminal ends at Ctrl-C with status 130, and says what became of the device', async () => {
  const image = longImage('long.img')
  const { file, device } = medium('stopped', 336)
  const name = `${file} ${((336 * MiB) / 1e6).toFixed(1)} MB`
  const words = ['nice', '-n', '19', process.execPath, solo, 'flash', image, device, '--erase', name]
  const line = words.map((word) => `'${word}'`).join(' ')
  // script(1) gives it a terminal: what is written there goes through the kernel's own handling of Ctrl-C.
  const child = spawn('script', ['--quiet', '--return', '--command', line, '/dev/null'], { stdio: 'pipe' })
  let said = ''
  child.stdout.on('data', (chunk: Buffer) => {
    said += chunk.toString()
    if (/write: .* \d+ %/.test(said) && child.stdin.writable) child.stdin.end('\x03')
  })
  const status = await new Promise<number | null>((resolve) => child.once('close', resolve))
  expect(said).toContain('ending after this piece')
  expect(said).toContain(
    `${device}: interrupted; it has no partition table now, and what was on it is lost; flash it again`,
  )
  expect(said).not.toContain('is on')
  expect(status).toBe(130)
  expect(readFileSync(file).subarray(0, MiB).equals(Buffer.alloc(MiB))).toBe(true)
})

test('flash() that is interrupted says what became of the device', async () => {
  const { file, device } = medium('interrupted', 32)
  const controller = new AbortController()
  const progress = { step: () => {}, percent: () => controller.abort(), note: () => {}, done: () => {} }
  const options = { progress, signal: controller.signal }
  await expect(flash(diskImage('cut.img'), await inspectTarget(device), options)).rejects.toThrow(
    `${device}: interrupted; it has no partition table now, and what was on it is lost; flash it again`,
  )
  expect(readFileSync(file).subarray(0, MiB).equals(Buffer.alloc(MiB))).toBe(true)
})
