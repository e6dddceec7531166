// The kernel's answer to each operation, in a user and mount namespace of the test's own: no root, no trace on the host.
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { beforeAll, expect, test } from 'vitest'

let results: Record<string, unknown>

beforeAll(() => {
  const program = fileURLToPath(new URL('./programs/mounts.ts', import.meta.url))
  const folder = mkdtempSync(join(tmpdir(), 'solo-mount-'))
  const output = execFileSync('unshare', ['-rm', process.execPath, program, folder], { encoding: 'utf8' })
  // Fails when something was left in it, which would mean that the namespace leaked.
  rmdirSync(folder)
  results = JSON.parse(output) as Record<string, unknown>
})

test.each([
  [
    'mountTmpfs() sets size and mode',
    'tmpfs',
    [expect.stringMatching(/^rw,size=1024k,mode=700/), 'rw,nosuid,nodev,relatime'],
  ],
  ['mount() mounts', 'mount', 'done'],
  [
    'mount() sets options of the mount and of the file system',
    'mounted',
    ['mine', 'tmpfs', 'ro,nosuid,noexec,noatime', 'ro,size=64k,nr_inodes=10'],
  ],
  ['mount() is seen by findmnt(8)', 'findmnt', 'mine ro,nosuid,noexec,noatime'],
  [
    'mount() repeats the words of the kernel about an option',
    'bad option',
    "mount /b: (tmpfs, size=64k,nonsense=1): EINVAL: Invalid argument (tmpfs: Unknown parameter 'nonsense')",
  ],
  [
    'mount() repeats the words of the kernel about a value',
    'bad value',
    "mount /b: from x (tmpfs, mode=zzz): EINVAL: Invalid argument (tmpfs: Bad value for 'mode')",
  ],
  [
    'mount() names source, type and options of an unknown file system',
    'bad type',
    'mount /b: from /dev/null (nosuchfs, ro): ENODEV: No such device',
  ],
  [
    'mount() names a missing target',
    'no target',
    'mount /none: from x (tmpfs): ENOENT: No such file or directory',
  ],
  ['a read-only mount cannot be written', 'write read-only', expect.stringContaining('EROFS')],
  ['remount() changes what is named', 'remount', 'done'],
  ['remount() leaves what is not named', 'remounted', ['rw,nosuid,noexec,noatime', 'rw,size=128k']],
  ['a mount made writable can be written', 'write', 'done'],
  [
    'remount() reports EBUSY while a file is open for writing',
    'remount busy',
    'mount /a: remount (ro): EBUSY: Device or resource busy',
  ],
  [
    'unmount() reports EBUSY while a file is open',
    'unmount busy',
    'umount2 /a: EBUSY: Device or resource busy',
  ],
  ['bindMount() binds', 'bind', 'done'],
  [
    'bindMount() makes the bind read-only and leaves the source',
    'bound',
    ['ro,nosuid,nodev,noexec,noatime', 'rw,nosuid,noexec,noatime', true],
  ],
  [
    'bindMount() refuses an option of a file system',
    'bind superblock option',
    "option 'size' belongs to a file system, not to a mount",
  ],
  ['setMountAttributes() sets and clears', 'attributes', 'done'],
  ['setMountAttributes() leaves what is not named', 'attributes set', 'rw,nosuid,nodev,noexec,relatime'],
  [
    'setMountAttributes() reports EINVAL where nothing is mounted',
    'attributes not a mount',
    'mount_setattr /c: ro: EINVAL: Invalid argument',
  ],
  ['moveMount() moves', 'move', ['', '/a', '/c']],
  [
    'moveMount() reports EINVAL where nothing is mounted',
    'move not a mount',
    'move_mount /d: from /b: EINVAL: Invalid argument',
  ],
  ['changePropagation() is seen in mountinfo', 'propagation', [['shared:N'], ['unbindable']]],
  ['bindMount() makes a whole tree read-only', 'recursive bind', ['ro', 'ro']],
  ['unmount() with lazy works while a file is open', 'lazy', 'done'],
  [
    'unmount() reports EINVAL where nothing is mounted',
    'unmount not a mount',
    'umount2 /d: EINVAL: Invalid argument',
  ],
  ['findMount() finds a target with a blank', 'blank', '/with blank'],
  [
    'mountTmpfs() refuses a size of 0, which means no limit',
    'bad size',
    expect.stringContaining('sizeBytes must be a whole number above 0'),
  ],
  ['mount(), bindMount() and moveMount() follow symbolic links', 'symbolic links', ['/d', '/d', '/d']],
  ['mount() takes values that are too long for fsconfig(2)', 'long value', ['overlay', 'rw,nosuid,relatime']],
  ['watchMounts() gives the table at once, then after each change', 'watched', [0, 1, 0]],
])('%s', (_, name, expected) => {
  expect(results[name]).toEqual(expected)
})
