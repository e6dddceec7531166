// A small seeded generator: the machine stays pure, and a failing simulation can be replayed from its seed.

/**
 * One step of mulberry32: 32 bits of state, full period. For jitter and transaction numbers; not for secrets.
 *
 * @returns the next state, and a value from 0 to 1 (exclusive)
 */
export function nextRandom(state: number): { state: number; value: number } {
  const next = (state + 0x6d2b79f5) >>> 0
  let mixed = Math.imul(next ^ (next >>> 15), next | 1)
  mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
  return { state: next, value: ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32 }
}
