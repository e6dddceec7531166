import { describe, expect, test } from 'vitest'
import { inLanes, LANES } from './lanes.ts'

const items = (count: number): (() => number | undefined) => {
  let next = 0
  return () => (next < count ? next++ : undefined)
}

describe('inLanes()', () => {
  test('does each item once, in order, and no more at a time than there are lanes', async () => {
    const begun: number[] = []
    let [now, most] = [0, 0]
    await inLanes(items(20), async (item) => {
      begun.push(item)
      now += 1
      most = Math.max(most, now)
      await Bun.sleep(1)
      now -= 1
    })
    expect(begun).toEqual(Array.from({ length: 20 }, (_, index) => index))
    expect(most).toBe(LANES)
  })

  test('begins nothing more after a failure, and rejects with it when the others have ended', async () => {
    const ended: number[] = []
    const work = async (item: number): Promise<void> => {
      if (item === 0) throw new Error('the first')
      await Bun.sleep(5)
      ended.push(item)
    }
    await expect(inLanes(items(20), work)).rejects.toThrow('the first')
    expect(ended).toEqual(Array.from({ length: LANES - 1 }, (_, index) => index + 1))
  })

  test('rejects with what the giver of items throws', async () => {
    const next = (): number => {
      throw new Error('over')
    }
    await expect(inLanes(next, () => Promise.resolve())).rejects.toThrow('over')
  })
})
