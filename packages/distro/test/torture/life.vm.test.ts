// A real appliance's first boot, an update and its trial boot, cut off at every write: judged, and some of it booted.
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { testFolder } from '../support/folder.ts'
import { BOOTS_MIN, runTorture } from './torture.ts'

const folder = testFolder()
afterAll(() => folder[Symbol.dispose]())

/** Fixed, so that a run that fails can be made again; `npm run test:torture` takes others. */
const SEED = 'short'

test('no power cut in the life of a machine leaves it without a whole release, or its user without a file', async () => {
  const report = await runTorture({
    ...{ folder: join(folder.path, 'life'), seed: SEED, minutes: 0, updates: 1, boots: BOOTS_MIN },
    ...{ exhaustiveWrites: 8, samplesPerEpoch: 64, tornPerEpoch: 32 },
  })
  const { judged, booted, unbootable, lostFiles, forgotten, boots, broken } = report
  for (const { phase, judged: count, versions } of report.phases)
    console.log(`${phase}: ${count} crash states judged, booting ${JSON.stringify(versions)}`)
  console.log(JSON.stringify({ judged, booted, unbootable, lostFiles, seed: SEED }))
  expect(broken).toEqual([])
  expect(boots.filter(({ problem }) => problem !== undefined)).toEqual([])
  expect({ unbootable, lostFiles, forgotten }).toEqual({ unbootable: 0, lostFiles: 0, forgotten: 0 })
  expect(booted).toBe(BOOTS_MIN)
  expect(judged).toBeGreaterThan(500)
}, 1_200_000)
