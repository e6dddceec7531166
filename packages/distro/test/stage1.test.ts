// Stage 1 without a machine: what it refuses, how it reads, and its search in a root of plain files, on both architectures.
import { spawnSync } from 'node:child_process'
import { chmodSync, copyFileSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Program } from '@pkg/sys/program'
import type { Architecture } from '@pkg/vm/machine'
import { afterAll, describe, expect, test } from 'vitest'
import { stage1, stage1Elf, stage1Modules, stage1ModulesOf, type Stage1Options } from '../src/stage1.ts'
import { Candidates } from '../src/stage1/candidates.ts'
import { LoaderPartition } from '../src/stage1/loader-partition.ts'
import { OwnDisk } from '../src/stage1/own-disk.ts'
import { uuidBytes } from '../src/stage1/options.ts'
import { Report } from '../src/stage1/report.ts'
import { testFolder } from './support/folder.ts'

const folder = testFolder()
afterAll(() => folder[Symbol.dispose]())

const options: Stage1Options = {
  modules: ['/virtio_blk.ko', '/erofs.ko'],
  rootImageId: '0b5e6a54-7f3c-4c0e-9d0a-5b7c6f1e2d3c',
  verity: { rootHash: 'ab'.repeat(32), salt: '0102', dataBlocks: 1000, hashStartBlock: 1001 },
  init: ['/bin/bun', '/sbin/init.js'],
  environment: { PATH: '/bin' },
  deadlineMs: 1000,
  rebootDelayMs: 10,
}
const architectures: readonly Architecture[] = ['x86_64', 'aarch64']

describe('stage1()', () => {
  test('makes an executable of a few kilobytes, the same each time', () => {
    for (const architecture of architectures) {
      const bytes = stage1Elf(stage1({ ...options, watchdogSeconds: 60 }), architecture)
      expect(bytes.length).toBeLessThan(15_360)
      expect(stage1Elf(stage1({ ...options, watchdogSeconds: 60 }), architecture)).toEqual(bytes)
    }
  })

  test('can be read as a list of calls', () => {
    const lines = stage1({ ...options, watchdogSeconds: 60 }).explain()
    for (const line of [
      'finit_module($10, "", 0)  except ENOENT, ENODEV  or goto not loaded',
      'openat(AT_FDCWD, "/dev/watchdog", O_WRONLY|O_CLOEXEC)  or goto no watchdog',
      '" 4096 4096 1000 1001 sha256 ab',
      'mount("/dev/mapper/root", "/root", "erofs", MS_RDONLY, NULL)  or goto refused',
      'openat(AT_FDCWD, "/sys/block/dm-0/queue/read_ahead_kb", O_WRONLY|O_CLOEXEC)  or goto memory enough',
      'execve("/bin/bun", ["/bin/bun", "/sbin/init.js"], m',
      'reboot(LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, LINUX_REBOOT_CMD_RESTART, NULL)  or go on',
    ]) {
      expect(lines).toContain(line)
    }
    expect(stage1(options).explain()).not.toContain('watchdog')
  })

  test.each([
    [{ rootImageId: 'no-uuid' }, 'not a uuid'],
    [{ rootImageId: options.rootImageId.toUpperCase() }, 'not a uuid in lower case'],
    [{ modules: ['erofs.ko'] }, 'not an absolute path: erofs.ko'],
    [{ init: ['bin/bun'] as const }, 'not an absolute path'],
    [{ environment: { 'A=B': '1' } }, "not a variable's name"],
    [{ environment: { A: 'x\0y' } }, 'NUL byte'],
    [{ deadlineMs: -1 }, 'deadlineMs is -1'],
    [{ rebootDelayMs: Number.NaN }, 'rebootDelayMs is NaN'],
    [{ watchdogSeconds: 1.5 }, 'watchdogSeconds is 1.5'],
    [{ verity: { ...options.verity, salt: 'xy' } }, 'salt is not hexadecimal'],
    [{ verity: { ...options.verity, rootHash: 'ab' } }, 'rootHash'],
    [{ verity: { ...options.verity, dataBlocks: 0 } }, 'dataBlocks'],
  ])('refuses %j', (change, message) => {
    expect(() => stage1({ ...options, ...change })).toThrow(message)
  })
})

test('every profile has what makes a root, each module once', () => {
  for (const names of Object.values(stage1ModulesOf)) {
    expect(names).toEqual(expect.arrayContaining(['dm_verity', 'erofs', 'virtio_blk', 'softdog']))
    expect(new Set(names).size).toBe(names.length)
  }
  expect(stage1Modules).toBe(stage1ModulesOf.all)
})

/** A root with an emulator where one is needed, in which `program` is /init. */
function makeRoot(name: string, program: Program, architecture: Architecture): string {
  const root = join(folder.path, `${name}-${architecture}`)
  for (const path of ['dev/mapper', 'sys/class/block', 'proc'])
    mkdirSync(join(root, path), { recursive: true })
  writeFileSync(join(root, 'init'), stage1Elf(program, architecture))
  chmodSync(join(root, 'init'), 0o755)
  copyFileSync('/usr/bin/qemu-aarch64-static', join(root, 'emulator'))
  return root
}

/** The partition that a loader came from: the first of sdb, as text and as it lies in a partition table. */
const LOADER = 'c12a7328-f81f-11d2-ba4b-00a0c93ec93b'
const LOADER_BYTES = '28732ac11ff8d211ba4b00a0c93ec93b'

/** Three disks of two partitions each, of which some have a root. */
function addDisks(root: string, { withRoot }: { withRoot: readonly string[] }): void {
  const superblock = new Uint8Array(2048)
  superblock.set(uuidBytes(options.rootImageId), 1024 + 48)
  const guids = { sda: LOADER_BYTES.replace('3b', 'ff'), sdb: LOADER_BYTES, sdc: '' }
  for (const [disk, guid] of Object.entries(guids)) {
    const table = Buffer.alloc(4096)
    table.write(guid, 1024 + 16, 'hex')
    writeFileSync(join(root, 'dev', disk), table)
    mkdirSync(join(root, 'sys/class/block', disk, 'queue'), { recursive: true })
    for (const part of [`${disk}1`, `${disk}2`]) {
      mkdirSync(join(root, 'sys/class/block', disk, part))
      writeFileSync(join(root, 'sys/class/block', part), '')
      writeFileSync(join(root, 'dev', part), withRoot.includes(part) ? superblock : Buffer.alloc(4096))
    }
  }
}

/** Runs /init in that root, as root of namespaces of its own: a reboot there ends it and nothing else. */
function runInRoot(
  root: string,
  architecture: Architecture,
  encoding: 'utf8' | 'latin1' = 'utf8',
): { stdout: string; stderr: string; status: number | null } {
  const namespaces = [
    '--user',
    '--map-root-user',
    '--mount',
    '--pid',
    '--fork',
    '--kill-child',
    `--root=${root}`,
  ]
  const command = architecture === 'aarch64' ? ['/emulator', '/init'] : ['/init']
  return spawnSync('unshare', [...namespaces, ...command], { encoding, timeout: 120_000 })
}

describe.each(architectures)('on %s', (architecture) => {
  test('Candidates finds every device with the id and no other, small and odd ones too', () => {
    const program = new Program()
    const report = new Report(program, 0)
    const candidates = new Candidates(program, report)
    const found = program.text(program.memory(200))
    const none = program.label('none')
    candidates.each(uuidBytes(options.rootImageId), none, (next) => {
      program.append(found, candidates.name, ' ')
      program.jump(next)
    })
    program.place(none)
    program.call('write', 1, found.begin, 200)
    program.call('exit_group', 0)
    report.finish()
    const root = makeRoot('search', program, architecture)
    const superblock = new Uint8Array(2048)
    superblock.set(uuidBytes(options.rootImageId), 1024 + 48)
    const device = (name: string, content: Uint8Array, isListed = true): void => {
      writeFileSync(join(root, 'dev', name), content)
      if (isListed) writeFileSync(join(root, 'sys/class/block', name), '')
    }
    for (const name of ['vda1', 'nvme3n1p128', 'mmcblk0p2', 'twenty-characters-xx']) device(name, superblock)
    device('notlisted', superblock, false)
    device('short', superblock.subarray(0, 1024 + 63))
    device('empty', new Uint8Array())
    device(
      'other',
      superblock.map((byte, index) => (index === 1024 + 63 ? byte ^ 1 : byte)),
    )
    writeFileSync(join(root, 'sys/class/block/gone'), '')
    mkdirSync(join(root, 'dev/folder'))
    writeFileSync(join(root, 'sys/class/block/folder'), '')
    const { stdout, stderr, status } = runInRoot(root, architecture)
    expect([stderr, status]).toEqual(['', 0])
    const names = stdout.replaceAll('\0', '').trim().split(' ').toSorted()
    expect(names).toEqual(['mmcblk0p2', 'nvme3n1p128', 'twenty-characters-xx', 'vda1'])
  })

  test.each([
    ['as systemd-boot writes it', 'c12a7328-F81F-11d2-ba4b-00a0c93ec93b', '28732ac11ff8d211ba4b00a0c93ec93b'],
    ['of zeros and nines', '00000001-0000-0000-0000-999999999999', '01000000000000000000999999999999'],
    ['cut off', 'c12a7328-f81f-11d2-ba4b', '00'.repeat(16)],
    ['without digits', '-'.repeat(36), '00'.repeat(16)],
    ['that is empty', '', '00'.repeat(16)],
  ])('LoaderPartition makes bytes of a text %s', (name, text, bytes) => {
    const program = new Program()
    const { guid } = new LoaderPartition(program, '/variable')
    program.call('write', 1, guid, 16)
    program.call('exit_group', 0)
    const root = makeRoot(`loader ${name}`, program, architecture)
    const content = Buffer.concat([Buffer.of(6, 0, 0, 0), Buffer.from(`${text}\0`, 'utf16le')])
    writeFileSync(join(root, 'variable'), content)
    const { stdout, status } = runInRoot(root, architecture, 'latin1')
    expect([Buffer.from(stdout, 'latin1').toString('hex'), status]).toEqual([bytes, 0])
  })

  test('Candidates looks on the disk alone whose first partition has a GUID, when it is there', () => {
    const program = new Program()
    const report = new Report(program, 0)
    const candidates = new Candidates(program, report)
    const found = program.text(program.memory(200))
    const loader = program.memory(Buffer.from(LOADER_BYTES, 'hex'))
    const stranger = program.memory(Buffer.from('28732ac11ff8d211ba4b00a0c93ec93c', 'hex'))
    const search = (): void => {
      const none = program.label('none')
      candidates.each(uuidBytes(options.rootImageId), none, (next) => {
        program.append(found, candidates.name, ' ')
        program.jump(next)
      })
      program.place(none)
      program.append(found, '; ')
    }
    const never = program.label('never')
    candidates.lookOnDisk(loader, never)
    search()
    program.place(never)
    const noDisk = program.label('no disk')
    candidates.lookOnDisk(stranger, noDisk)
    program.append(found, 'never ')
    program.place(noDisk)
    search()
    program.call('write', 1, found.begin, 200)
    program.call('exit_group', 0)
    report.finish()
    const root = makeRoot('own disk', program, architecture)
    addDisks(root, { withRoot: ['sda2', 'sdb2', 'sdc2'] })
    const { stdout, stderr, status } = runInRoot(root, architecture)
    expect([stderr, status]).toEqual(['', 0])
    const [own, any] = stdout.replaceAll('\0', '').split(';')
    expect(own?.trim()).toBe('sdb2')
    expect(any?.trim().split(' ').toSorted()).toEqual(['sda2', 'sdb2', 'sdc2'])
  })

  test.each([
    ['has it', { loader: LOADER, withRoot: ['sda2', 'sdb2'] }, ['sdb2']],
    ['has none: over when its time is', { loader: LOADER, withRoot: ['sda2', 'sdc2'] }, ['over']],
    [
      'does not come: any disk',
      { loader: LOADER.replace('3b', '3c'), withRoot: ['sda2', 'sdc2'] },
      ['sda2', 'sdc2'],
    ],
    ['is told by nobody: any disk', { loader: undefined, withRoot: ['sda2', 'sdc2'] }, ['sda2', 'sdc2']],
  ])(
    'OwnDisk has the root looked for where the loader came from; that disk %s',
    (name, machine, expected) => {
      const program = new Program()
      const report = new Report(program, 0)
      const candidates = new Candidates(program, report)
      const own = new OwnDisk(program, candidates, { variable: '/variable', waitMs: 300 })
      const [late, over] = [program.label('late'), program.label('over')]
      const found = program.text(program.memory(40))
      const say = (text: Parameters<Program['append']>[1]): void => {
        program.append(found, text)
        program.call('write', 1, found.begin, 40)
        program.call('exit_group', 0)
      }
      program.retry({ withinMs: 20_000, everyMs: 10, otherwise: late }, (again) => {
        own.choose({ again, over })
        candidates.each(uuidBytes(options.rootImageId), again, () => say(candidates.name))
      })
      program.place(over)
      say('over')
      program.place(late)
      report.finish()
      const root = makeRoot(`own ${name}`, program, architecture)
      addDisks(root, machine)
      if (machine.loader !== undefined) {
        const text = Buffer.from(`${machine.loader}\0`, 'utf16le')
        writeFileSync(join(root, 'variable'), Buffer.concat([Buffer.of(6, 0, 0, 0), text]))
      }
      const { stdout, stderr, status } = runInRoot(root, architecture)
      expect([stderr, status]).toEqual(['', 0])
      expect(expected).toContain(stdout.replaceAll('\0', ''))
    },
  )

  test('Report names the error of the step that failed', () => {
    const program = new Program()
    const report = new Report(program, 0)
    const [first, second] = [program.label(), program.label()]
    program.call('chdir', '/none').otherwise(first)
    program.place(first)
    report.say('first: ', report.errorName(), '.')
    program.call('unlinkat', -100, '/', 0).otherwise(second)
    program.place(second)
    report.say('second: ', report.errorName())
    report.must('write to nothing', 'write', -1, 'x', 1)
    report.finish()
    const root = makeRoot('report', program, architecture)
    const { stderr } = runInRoot(root, architecture)
    const lines = stderr.replaceAll('\0', '').split('<2>').slice(1)
    expect(lines).toEqual([
      'solo stage 1: first: ENOENT.',
      expect.stringMatching(/^solo stage 1: second: (EISDIR|EBUSY|EROFS|EPERM)$/),
      'solo stage 1: cannot write to nothing: EBADF; rebooting in 0 s',
    ])
  })

  test('stage 1 that may not mount says so, and tries to reboot', () => {
    const root = makeRoot('stage', stage1(options), architecture)
    const { stderr } = runInRoot(root, architecture)
    // A user namespace may not mount devtmpfs, so there is no log either.
    expect(stderr.replaceAll('\0', '')).toBe('<2>solo stage 1: cannot mount /dev: EPERM; rebooting in 0.01 s')
  })
})
