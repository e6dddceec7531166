import { describe, expect, test } from 'vitest'
import {
  beyond,
  cellName,
  cells,
  combinations,
  contents,
  faults,
  leftOut,
  phases,
  shortCells,
} from './matrix.ts'

describe('the rollback matrix', () => {
  test('has each combination as a cell, or a reason why not', () => {
    const out = combinations.filter((cell) => leftOut.some(({ fits }) => fits(cell)))
    expect(cells.length + out.length).toBe(faults.length * phases.length * contents.length)
    expect(new Set([...cells, ...out].map((cell) => cellName(cell))).size).toBe(combinations.length)
  })

  test('gives no reason that nothing needs, and none without words', () => {
    for (const { what, why, fits } of leftOut)
      expect([what, why, combinations.some(fits)]).toEqual([what, why, true])
    // The first that fits is the reason: one that is behind others in all its cases would never be read.
    const reasons = new Set(combinations.map((cell) => leftOut.find(({ fits }) => fits(cell))))
    for (const reason of leftOut) expect([reason.what, reasons.has(reason)]).toEqual([reason.what, true])
    for (const { why } of [...leftOut, ...beyond]) expect(why).toMatch(/\w+ \w+/)
  })

  test('has each fault, each phase and each content in a cell', () => {
    expect(new Set(cells.map(({ fault }) => fault))).toEqual(new Set(faults))
    expect(new Set(cells.map(({ phase }) => phase))).toEqual(new Set(phases))
    expect(new Set(cells.map(({ content }) => content))).toEqual(new Set(contents))
  })

  test('has the short ones among its cells', () => {
    const names = cells.map((cell) => cellName(cell))
    for (const cell of shortCells) expect(names).toContain(cellName(cell))
  })
})
