import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { compare, median, quantile } from '../src/statistics.ts'

const measurements = fc.array(fc.double({ min: 1, max: 1e6, noNaN: true }), { minLength: 1 })

describe('median()', () => {
  test('is the middle of an odd number, and the mean of the two in the middle of an even one', () => {
    expect(median([9, 1, 5])).toBe(5)
    expect(median([1, 2, 10, 20])).toBe(6)
  })

  test('refuses to say anything of nothing', () => {
    expect(() => median([])).toThrow(RangeError)
  })

  test('has as many values below as above, in any order', () => {
    fc.assert(
      fc.property(measurements, (values) => {
        const middle = median(values)
        const below = values.filter((value) => value < middle).length
        const above = values.filter((value) => value > middle).length
        expect(Math.max(below, above)).toBeLessThanOrEqual(values.length / 2)
      }),
    )
  })
})

describe('quantile()', () => {
  test('reaches from the least to the greatest', () => {
    expect([0, 0.25, 1].map((share) => quantile([3, 1, 2, 4, 5], share))).toEqual([1, 2, 5])
  })
})

describe('compare()', () => {
  test('divides the medians, and shows how far the rounds agree', () => {
    const { ours, peer, ratio, interval } = compare([2, 2, 2], [4, 4, 4])
    expect({ ours, peer, ratio, interval }).toEqual({ ours: 2, peer: 4, ratio: 0.5, interval: [0.5, 0.5] })
  })

  test('refuses contestants that ran in different numbers of rounds', () => {
    expect(() => compare([1], [1, 2])).toThrow('1 rounds against 2')
  })
})
