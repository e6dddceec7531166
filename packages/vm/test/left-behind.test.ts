// What killed processes have left is removed, and what others are at is not.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, rmSync, utimesSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { prune } from '../src/boot/snapshot-cache.ts'
import { isLeftBehind, isOwnerGone, ownerMark } from '../src/host/owner.ts'
import { scratchBeside } from '../src/host/scratch.ts'

const folder = mkdtempSync(join(tmpdir(), 'solo-left-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** The process id of a program that has ended and was reaped. */
const dead = spawnSync('true').pid
const [ownSpace = ''] = ownerMark().split('-')

/** A folder that has been there for days, or not. */
function made(name: string, days = 0): string {
  const path = join(folder, name)
  mkdirSync(path)
  const time = Date.now() / 1000 - days * 24 * 60 * 60
  utimesSync(path, time, time)
  return path
}

test('isLeftBehind() looks at processes of its own pid namespace, and at the age of what others made', () => {
  const cases: [mark: string, days: number, left: boolean][] = [
    [ownerMark(), 9, false],
    [`${ownSpace}-${dead}-x`, 0, true],
    // In another namespace that number is another process, which we do not see.
    [`1-${dead}-x`, 0, false],
    [`1-${dead}-y`, 2, true],
    ['no mark', 0, false],
  ]
  for (const [mark, days, left] of cases)
    expect(isLeftBehind(made(`of ${mark}`, days), mark), mark).toBe(left)
})

test('isOwnerGone() does not know of processes in other pid namespaces', () => {
  expect([ownerMark(), `${ownSpace}-${dead}-x`, `1-${dead}-x`, ''].map(isOwnerGone)).toEqual([
    ...[false, true, undefined, undefined],
  ])
})

test('scratchBeside() and prune() sweep away what is left behind, and nothing that others are at', () => {
  const [left, theirs] = [made(`.kernel.part-${ownSpace}-${dead}-x`), made(`.kernel.part-1-${dead}-x`)]
  const saving = [made(`saving-${ownSpace}-${dead}-x`), made(`saving-1-${dead}-x`)]
  using scratch = scratchBeside(join(folder, 'kernel'))
  expect([left, theirs, scratch.folder].map((path) => existsSync(path))).toEqual([false, true, true])
  prune(folder, 100)
  expect(saving.map((path) => existsSync(path))).toEqual([false, true])
})
