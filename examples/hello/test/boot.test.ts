import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { BootState } from '@pkg/init/boot-state'
import { afterAll, describe, expect, test } from 'vitest'
import { readRelease } from '../src/boot.ts'

const folder = mkdtempSync(join(tmpdir(), 'hello-'))
afterAll(() => rmSync(folder, { recursive: true }))

const state: BootState = {
  ...{ slot: 'solo-b', entry: 'solob+3-0.efi', trial: false, blessed: true, disk: '/dev/sda' },
  release: {
    ...{ appliance: 'hello', version: '1.4', counter: 7, board: 'generic', architecture: 'x86_64' },
    created: '2026-11-30T12:00:00Z',
  },
  partitions: { esp: '/dev/sda1', 'root-a': '/dev/sda2', 'root-b': '/dev/sda3', data: '/dev/sda4' },
  ...{ lastRollback: null, counterFloor: 7, clock: 'sntp' },
}

function release(changes: Partial<BootState>): ReturnType<typeof readRelease> {
  const file = join(folder, 'boot.json')
  writeFileSync(file, JSON.stringify({ ...state, ...changes }))
  return readRelease(file)
}

describe('readRelease()', () => {
  test('gives version, counter and slot, and whether it is kept', () => {
    expect(release({})).toEqual({
      ...{ version: '1.4', counter: 7, slot: 'solo-b', standing: 'kept', lastRollback: null },
    })
    expect(release({ blessed: false, trial: true })?.standing).toBe('on trial')
    expect(release({ blessed: false })?.standing).toBe('not kept yet')
  })

  test('tells why the release before was given up', () => {
    const from = { slot: 'solo-a', version: null, counter: 8 }
    const lastRollback = { from, reason: 'the kernel panicked', at: '2026-11-30T12:00:00Z' }
    expect(release({ lastRollback })?.lastRollback).toBe('a release was given up: the kernel panicked')
  })

  test('gives null where Solo did not boot, or the image does not say what it is', () => {
    expect(readRelease(join(folder, 'missing'))).toBeNull()
    expect(release({ release: null })).toBeNull()
  })
})
