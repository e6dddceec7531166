/**
 * Chance that can be had again: every fault that is left to chance draws from a sequence that its seed fixes, so that
 * a failure seen once is a failure that can be looked at.
 */

/** A sequence of numbers from 0 up to 1, without 1. */
export type Random = () => number

/**
 * mulberry32 over an FNV-1a hash of the seed: 32 bits of state are plenty for choosing frames and writes, and equal
 * seeds give equal sequences in every engine.
 *
 * @param seed - any text or number
 */
export function seededRandom(seed: string | number): Random {
  let state = fnv1a(String(seed))
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** @see http://www.isthe.com/chongo/tech/comp/fnv/ (offset basis and prime for 32 bits) */
function fnv1a(text: string): number {
  let hash = 0x811c9dc5
  for (const byte of new TextEncoder().encode(text)) hash = Math.imul(hash ^ byte, 0x01000193)
  return hash >>> 0
}
