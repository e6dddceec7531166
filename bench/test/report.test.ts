import { expect, test } from 'vitest'
import { printJson, printTable, rowOf } from '../src/report.ts'

const rows = [
  rowOf('spawn', 'C posix_spawn', 'µs', [90_000, 110_000, 100_000], [200_000, 200_000, 200_000]),
  rowOf('getppid', 'koffi on Node', 'ns', [170, 180, 190], undefined),
]

test('printJson() prints the figures in their units, and a missing peer with null figures', () => {
  expect(JSON.parse(printJson(rows))).toEqual([
    { name: 'spawn', ours: 100, peer: 200, peerName: 'C posix_spawn', ratio: 0.5, unit: 'µs' },
    { name: 'getppid', ours: null, peer: null, peerName: 'koffi on Node', ratio: null, unit: 'ns' },
  ])
})

test('printTable() shows how far the rounds agree, and names who is missing', () => {
  const lines = printTable(rows).trimEnd().split('\n')
  expect(lines).toHaveLength(3)
  expect(lines[1]).toMatch(/^spawn +100 µs +200 µs +C posix_spawn +0\.50 +0\.46–0\.54 +3$/)
  expect(lines[2]).toMatch(/^getppid +— +— +koffi on Node +missing +0$/)
})
