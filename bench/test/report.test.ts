import { expect, test } from 'vitest'
import { overLimit, printJson, printTable, rowOf } from '../src/report.ts'

const rows = [
  rowOf('spawn', 'C posix_spawn', 'µs', [90_000, 110_000, 100_000], [200_000, 200_000, 200_000]),
  rowOf('getppid', 'koffi on Node', 'ns', [170, 180, 190], undefined),
]

test('printJson() prints the figures in their units, and a missing peer with null figures', () => {
  expect(JSON.parse(printJson(rows))).toEqual([
    {
      ...{ name: 'spawn', ours: 100, peer: 200, peerName: 'C posix_spawn', ratio: 0.5, unit: 'µs' },
      ...{ interval: [expect.closeTo(0.46), expect.closeTo(0.54)], rounds: 3 },
    },
    {
      ...{ name: 'getppid', ours: null, peer: null, peerName: 'koffi on Node', ratio: null, unit: 'ns' },
      ...{ interval: null, rounds: 0 },
    },
  ])
})

test('printTable() shows how far the rounds agree, and names who is missing', () => {
  const lines = printTable(rows).trimEnd().split('\n')
  expect(lines).toHaveLength(3)
  expect(lines[1]).toMatch(/^spawn +100 µs +200 µs +C posix_spawn +0\.50 +0\.46–0\.54 +3$/)
  expect(lines[2]).toMatch(/^getppid +— +— +koffi on Node +missing +0$/)
})

test('overLimit() names what is above its limit, and nothing that has none or could not be had', () => {
  const limited = (seconds: number, limit?: number): ReturnType<typeof rowOf> =>
    rowOf(`guest ${seconds}`, 'cold', 's', [seconds * 1e9], [9e9], limit === undefined ? {} : { limit })
  const missing = rowOf('UML', 'cold', 's', undefined, [9e9], { limit: 2.5 })
  const all = [limited(0.3, 0.4), limited(0.4, 0.4), limited(0.5, 0.4), limited(70), missing]
  expect(overLimit(all)).toEqual(['above its limit: guest 0.5: 0.500 s, limit 0.4 s'])
})

test('overLimit() names ratios that are above theirs', () => {
  const row = (ours: number): ReturnType<typeof rowOf> =>
    rowOf('read', 'C', 'ns', [ours], [100], { ratioLimit: 1.3 })
  expect(overLimit([row(130), row(131)])).toEqual(['above its limit: read: 1.31 × C, limit 1.3 ×'])
})
