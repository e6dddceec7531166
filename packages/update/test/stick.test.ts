import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { mediaOf } from '../src/updater/stick.ts'

test('mediaOf() names partitions, and disks without any, of all disks but the own and those without a device', () => {
  const folder = mkdtempSync(join(tmpdir(), 'solo-sys-block-'))
  try {
    const add = (path: string): void => {
      mkdirSync(join(folder, path, '..'), { recursive: true })
      writeFileSync(join(folder, path), '')
    }
    for (const disk of ['sda', 'sdb', 'sdc', 'vda', 'mmcblk0']) add(`${disk}/device/model`)
    for (const partition of ['sda/sda1', 'sda/sda2', 'vda/vda1', 'mmcblk0/mmcblk0p1'])
      add(`${partition}/partition`)
    // A folder of the disk's that is no partition, and a loop.
    add('sdb/sdb-queue/x')
    add('loop0/size')
    expect(mediaOf(folder, '/dev/vda')).toEqual([
      '/dev/mmcblk0p1',
      '/dev/sda1',
      '/dev/sda2',
      '/dev/sdb',
      '/dev/sdc',
    ])
    expect(mediaOf(folder, '/dev/sda')).not.toContain('/dev/sda1')
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})
