/** The test's own random numbers (xorshift32), apart from the generator inside the core that it tests. */
export interface Random {
  /** From 0 to below `count`. */
  below(count: number): number
  /** True with the probability. */
  chance(probability: number): boolean
  /** One of them. */
  pick<T>(items: readonly T[]): T
}

export function randomFrom(seed: number): Random {
  let state = (seed * 2_654_435_761 + 1) >>> 0 || 1
  const next = (): number => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    state >>>= 0
    return state / 0x1_0000_0000
  }
  return {
    below: (count) => Math.floor(next() * count),
    chance: (probability) => next() < probability,
    pick<T>(items: readonly T[]): T {
      const item = items[Math.floor(next() * items.length)]
      if (item === undefined) throw new RangeError('pick: nothing to pick from')
      return item
    },
  }
}
