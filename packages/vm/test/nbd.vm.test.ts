/** A real guest on a disk that remembers, and what e2fsprogs says of everything that a power cut can leave of it. */
import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { crashStates, type CrashState } from '../src/crash-states.ts'
import { rememberingDisk, type RememberingDisk } from '../src/nbd.ts'
import { startQemu } from '../src/qemu.ts'
import { linuxGuest } from './linux-guest.ts'

const run = promisify(execFile)

let folder: string
let base: string
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'solo-nbd-vm-'))
  base = join(folder, 'ext4.img')
  await run('mke2fs', ['-q', '-F', '-t', 'ext4', '-b', '4096', base, '24M'])
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** A guest with `disk` as /dev/sda runs `script`; where it says `mark LABEL`, the log gets a mark. */
async function runOn(disk: RememberingDisk, script: string): Promise<void> {
  const prologue = `
mark() { echo "guest: mark $1"; read answer; }
mkdir -p /mnt
for attempt in 1 2 3 4 5 6 7 8 9; do [ -b /dev/sda ] || sleep 0.3; done
`
  using guest = await linuxGuest(`${prologue}${script}\necho "guest: done"\npoweroff -f\n`, [
    ...['virtio_pci', 'virtio_scsi', 'sd_mod', 'ext4', 'vfat', 'nls_cp437', 'nls_ascii'],
  ])
  await using vm = await startQemu({
    ...guest,
    memoryMiB: 128,
    networks: [],
    disks: [{ nbd: disk.uri }],
    timeoutMs: 240_000,
  })
  for (let from = 0; ;) {
    const line = /guest: (?:mark (\S+)|done)\n/
    const match = await vm.console.waitFor(line, { from, timeoutMs: 240_000 })
    from += match.index + match[0].length
    if (match[1] === undefined) break
    disk.mark(match[1])
    vm.console.write('go on\n')
  }
  await vm.waitForPoweroff()
}

/** What a reader finds in `/file` after the power cut; undefined when there is none. */
async function fileAfter(state: CrashState): Promise<string | undefined> {
  const image = join(folder, `${state.name}.img`)
  await state.writeTo(image)
  try {
    // Preening replays the journal and does what cannot lose anything: status 4 is a broken file system.
    const { code } = await run('e2fsck', ['-p', image]).then(
      () => ({ code: 0 }),
      (error: { code: number }) => error,
    )
    if (code > 1) throw new Error(`e2fsck -p: status ${code}: ${state.description}`)
    await run('e2fsck', ['-f', '-n', image])
    const { stdout, stderr } = await run('debugfs', ['-R', 'cat /file', image])
    return stderr.includes('File not found') ? undefined : stdout.trim()
  } finally {
    rmSync(image, { force: true })
  }
}

/** By state: what its last mark was, and what the file then has. */
async function judgeAll(disk: RememberingDisk): Promise<string[]> {
  const limits = { exhaustiveWrites: 4, samplesPerEpoch: 12, tornPerEpoch: 8 }
  const states = [...crashStates(disk.log, { from: 'mounted', ...limits })]
  const verdicts: string[] = []
  const judges = [0, 1].map(async () => {
    for (let state = states.pop(); state !== undefined; state = states.pop())
      verdicts.push(`${state.marks.at(-1)}: ${await fileAfter(state)}`)
  })
  await Promise.all(judges)
  return verdicts
}

// noauto_da_alloc: ext4 otherwise guesses that a rename wants what its program did not ask for. Busybox's `sync FILE`
// is fsync(2).
describe('crashStates() of a guest that writes to ext4', () => {
  test('finds nothing wrong with write, fsync, rename, fsync', async () => {
    await using disk = await rememberingDisk({ base })
    const careful = `
mount -t ext4 -o noauto_da_alloc /dev/sda /mnt; echo one > /mnt/file; sync
mark mounted
echo two > /mnt/new; sync /mnt/new; mv /mnt/new /mnt/file; sync
mark renamed
umount /mnt`
    await runOn(disk, careful)
    const verdicts = await judgeAll(disk)
    expect(verdicts.length).toBeGreaterThan(20)
    expect(new Set(verdicts)).toEqual(new Set(['mounted: one', 'mounted: two', 'renamed: two']))
  })

  test('finds the empty file that a rename without fsync can leave', async () => {
    await using disk = await rememberingDisk({ base })
    const careless = `
mount -t ext4 -o noauto_da_alloc /dev/sda /mnt; echo one > /mnt/file; touch /mnt/other; sync
mark mounted
echo two > /mnt/new; mv /mnt/new /mnt/file; echo > /mnt/other; sync /mnt/other
mark other
sync
mark synced
umount /mnt`
    await runOn(disk, careless)
    const verdicts = new Set(await judgeAll(disk))
    expect(verdicts).toContain('other: ')
    expect([...verdicts].filter((verdict) => verdict.startsWith('synced'))).toEqual(['synced: two'])
  })
})

/** What fsck.fat cannot mend, of a FAT file system that has no journal; mending it must be enough. */
async function brokenFat(state: CrashState): Promise<string | undefined> {
  const image = join(folder, `${state.name}.fat`)
  await state.writeTo(image)
  try {
    // Status 1 is "mended" (fsck.fat(8)); the second run must find nothing.
    await run('fsck.fat', ['-a', image]).catch((error: { code: number }) => {
      if (error.code !== 1) throw error
    })
    await run('fsck.fat', ['-n', image])
    return undefined
  } catch (error) {
    return `${state.description}: ${String(error)}`
  } finally {
    rmSync(image, { force: true })
  }
}

describe('crashStates() of a guest that writes to FAT', () => {
  test('are mended by fsck.fat, every one', async () => {
    const empty = join(folder, 'fat.img')
    await run('mkfs.fat', ['-C', empty, '8192'])
    await using disk = await rememberingDisk({ base: empty })
    await runOn(
      disk,
      `
mount -t vfat -o iocharset=ascii /dev/sda /mnt; mark mounted
dd if=/dev/urandom of=/mnt/new bs=4096 count=8 conv=fsync; mv /mnt/new /mnt/file; sync; mark renamed
umount /mnt`,
    )
    const states = [...crashStates(disk.log, { samplesPerEpoch: 16, tornPerEpoch: 16 })]
    expect(states.length).toBeGreaterThan(20)
    const broken: (string | undefined)[] = []
    for (const state of states) broken.push(await brokenFat(state))
    expect(broken.filter((verdict) => verdict !== undefined)).toEqual([])
  })
})

describe('a fault of a disk that remembers', () => {
  test('reaches the programs of a guest as the error that it is', async () => {
    await using disk = await rememberingDisk({ sizeBytes: 1 << 20 })
    using bad = disk.faults.add({
      kind: 'fail',
      operations: ['read'],
      range: { offset: 524_288, length: 512 },
    })
    const script = `
mark started
dd if=/dev/sda of=/dev/null bs=512 skip=1023 count=1 iflag=direct && mark before
dd if=/dev/sda of=/dev/null bs=512 skip=1024 count=1 iflag=direct 2>&1 | grep -q 'Input/output error' && mark failed
dd if=/dev/sda of=/dev/null bs=512 skip=1025 count=1 iflag=direct && mark after`
    await runOn(disk, script)
    const labels = disk.log.entries.flatMap((entry) => (entry.kind === 'mark' ? [entry.label] : []))
    expect(labels).toEqual(['started', 'before', 'failed', 'after'])
    expect(bad.met).toBeGreaterThan(0)
  })
})
