// An installation's every crash state, on the FAT and the block devices of a real kernel; and the same for ways of
// installing that are wrong, in which the judge must find what a power cut leaves.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { rememberingDisk, type RememberingDisk } from '@pkg/vm/nbd'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { testFolder } from '../support/folder.ts'
import type { Mistake } from './guest/careless.ts'
import { type RecordedDisk, recordInstalls, type RecordedInstall } from './guest-recording.ts'
import { Judge } from './judge.ts'
import {
  judgeOptionsOf,
  smallDisk,
  type SmallRelease,
  smallRelease,
  writeSmallRelease,
} from './small-system.ts'
import { type Phase, Survey } from './survey.ts'

const folder = testFolder()
const stack = new AsyncDisposableStack()
const releases: SmallRelease[] = []
const disks = new Map<string, RememberingDisk>()

/** So many power cuts are followed by a further installation. */
const TAKEN_UP = 8

const careful: readonly RecordedInstall[] = [
  { name: 'first', release: '2', slot: 'b' },
  { name: 'in place', release: '3', slot: 'a' },
  { name: 'broken off', release: '4', slot: 'b', breakAtBytes: 200_000 },
  { name: 'resumed', release: '4', slot: 'b' },
]
const mistakes: readonly Mistake[] = ['kernel first', 'good entry first', 'rename without fsync']

beforeAll(async () => {
  for (const counter of [1, 2, 3, 4]) {
    const release = await smallRelease(counter)
    await writeSmallRelease(join(folder.path, String(counter)), release)
    releases.push(release)
  }
  const [first] = releases
  if (first === undefined) throw new Error('no release')
  const base = join(folder.path, 'base.img')
  writeFileSync(base, (await smallDisk({ a: { release: first } })).bytes)
  for (const name of ['careful', ...mistakes]) disks.set(name, stack.use(await rememberingDisk({ base })))
  await recordInstalls(folder.path, [
    { disk: diskOf('careful'), installs: careful },
    ...mistakes.map((mistake) => {
      const install: RecordedInstall = { name: mistake, release: '2', slot: 'b', mistake }
      return { disk: diskOf(mistake), installs: [install] }
    }),
  ])
}, 400_000)

afterAll(async () => {
  await stack.disposeAsync()
  folder[Symbol.dispose]()
})

function diskOf(name: string): RememberingDisk {
  const disk = disks.get(name)
  if (disk === undefined) throw new Error(`no disk ${name}`)
  return disk
}

async function survey({ log }: RememberingDisk, phases: readonly Phase[]): Promise<Survey> {
  const installed = new Map([
    ['first: installed', 2],
    ['in place: installed', 3],
    ['resumed: installed', 4],
    ['again: installed', 4],
    ...mistakes.map((mistake) => [`${mistake}: installed`, 2] as const),
  ])
  const made = new Survey({
    ...{ log, judge: new Judge(judgeOptionsOf(releases)), kept: new Map(), installed, phases },
  })
  await made.round({ exhaustiveWrites: 12, samplesPerEpoch: 400, tornPerEpoch: 400 })
  return made
}

const phases = careful.map(({ name }, index): Phase => {
  const next = careful[index + 1]
  const from = `${name}: begins`
  return next === undefined ? { name, from } : { name, from, to: `${next.name}: begins` }
})

describe('crash states of installations in a guest', () => {
  test('boot a whole release, every one, and never one older than what was said to be installed', async () => {
    const { broken, reports } = await survey(diskOf('careful'), phases)
    for (const { phase, judged, versions } of reports)
      console.log(`${phase}: ${judged} crash states judged, booting ${JSON.stringify(versions)}`)
    expect(broken).toEqual([])
    expect(reports.every(({ judged }) => judged > 10)).toBe(true)
    expect(reports.reduce((sum, { judged }) => sum + judged, 0)).toBeGreaterThan(100)
  })

  test('take the next release, whose own crash states boot a whole one as well', async () => {
    const chosen = (await survey(diskOf('careful'), phases)).sample(TAKEN_UP)
    await using again = new AsyncDisposableStack()
    const cut: RecordedDisk[] = []
    for (const [index, { state, verdict }] of chosen.entries()) {
      const base = join(folder.path, `cut-${index}.img`)
      await state.writeTo(base)
      const slot = verdict.root === 'root-a' ? 'b' : 'a'
      const installs = [{ name: 'again', release: '4', slot } as const]
      cut.push({ disk: again.use(await rememberingDisk({ base })), installs })
    }
    await recordInstalls(folder.path, cut)
    let judged = 0
    for (const [index, { disk }] of cut.entries()) {
      const { broken, reports } = await survey(disk, [{ name: 'again' }])
      expect([chosen[index]?.state.description, broken]).toEqual([chosen[index]?.state.description, []])
      expect(reports[0]?.versions['4']).toBeGreaterThan(0)
      judged += reports[0]?.judged ?? 0
    }
    console.log(`taken up again after ${cut.length} power cuts: ${judged} crash states judged`)
  }, 400_000)

  test.each(mistakes)('are found broken where it went: %s', async (mistake) => {
    const { broken, reports } = await survey(diskOf(mistake), [{ name: mistake, from: `${mistake}: begins` }])
    const [report] = reports
    console.log(`${mistake}: ${report?.unbootable} of ${report?.judged} crash states are broken`)
    expect(broken.length).toBeGreaterThan(0)
    const expected = {
      'kernel first': /whose root on root-b is half there/,
      'good entry first': /nothing boots: the loader has no entry/,
      'rename without fsync': /solob is no release: a part of one, or damaged|had been installed/,
    }
    expect(broken.map(({ verdict }) => verdict).join('\n')).toMatch(expected[mistake])
  })
})
