// Kernels without the newer mount calls, made by strace(1) in a namespace of the test's own.
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

const PROGRAM = fileURLToPath(new URL('./programs/old-kernel.ts', import.meta.url))

function runWithout(calls: string): Record<string, unknown> {
  const folder = mkdtempSync(join(tmpdir(), 'solo-mount-'))
  const strace = ['strace', '-f', '-qq', '-o', '/dev/null', '-e', `trace=${calls}`]
  const inject = ['-e', `inject=${calls}:error=ENOSYS`]
  const command = ['-rm', ...strace, ...inject, process.execPath, PROGRAM, folder]
  const output = execFileSync('unshare', command, { encoding: 'utf8' })
  rmdirSync(folder)
  return JSON.parse(output) as Record<string, unknown>
}

test.each([
  ['mount_setattr', 'mount_setattr'],
  ['any of the newer calls', 'fsopen,fspick,open_tree,move_mount,mount_setattr'],
])(
  'bindMount() and remount() keep present options, and reach mounts below, without %s',
  (_, calls) => {
    expect(runWithout(calls)).toEqual({
      recursive: ['ro,nosuid,nodev,noexec,noatime', 'ro,nosuid,nodev,rel'],
      bind: 'rw,nosuid,nodev,noexec,rel',
      noatime: 'rw,nosuid,nodev,noexec,noatime',
      relatime: 'rw,nodev,noexec,rel',
      size: ['rw,nosuid,nodev,rel', expect.stringContaining('size=64k')],
      // Undone: what shows at /f is the folder's own mount.
      hidden: ['ENOSYS', 'rw,nosuid,nodev,noexec,noatime'],
    })
  },
  30_000,
)
