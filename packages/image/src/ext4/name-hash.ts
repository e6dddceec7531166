/**
 * The hash of a name by which large directories are ordered: half of MD4, over bytes without sign
 * (`DX_HASH_HALF_MD4_UNSIGNED`), so that it does not depend on the processor's `char`.
 *
 * @see https://elixir.bootlin.com/linux/v6.1/source/fs/ext4/hash.c
 */
import { viewOf } from './format.ts'

/** A name's hash, in which the lowest bit is 0, and what orders names with the same one. */
export interface NameHash {
  readonly major: number
  readonly minor: number
}

type State = [number, number, number, number]
type Round = readonly [
  mix: (x: number, y: number, z: number) => number,
  constant: number,
  order: readonly number[],
  shifts: readonly number[],
]

/** MD4's beginning, used when the seed is all zeros. */
const initialState: State = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476]

const rounds: readonly Round[] = [
  [(x, y, z) => z ^ (x & (y ^ z)), 0, [0, 1, 2, 3, 4, 5, 6, 7], [3, 7, 11, 19]],
  [(x, y, z) => (x & y) + ((x ^ y) & z), 0x5a82_7999, [1, 3, 5, 7, 0, 2, 4, 6], [3, 5, 9, 13]],
  [(x, y, z) => x ^ y ^ z, 0x6ed9_eba1, [3, 7, 2, 6, 1, 5, 0, 4], [3, 9, 11, 15]],
]

/** Bytes of a name that are mixed in at once. */
const partBytes = 32

/** The two largest hashes: the first ends a directory for readers with 32-bit positions, so names have the second. */
const endOfDirectory = 0xffff_fffe
const lastHash = 0xffff_fffc

/** The hash of `name` in a file system whose superblock has this seed of 16 bytes. */
export function hashName(name: Uint8Array, seed: Uint8Array): NameHash {
  const state: State = seed.some((byte) => byte !== 0) ? seedState(seed) : [...initialState]
  for (let start = 0; start < name.byteLength; start += partBytes) mixIn(state, wordsOf(name.subarray(start)))
  const major = (state[1] & ~1) >>> 0
  return { major: major === endOfDirectory ? lastHash : major, minor: state[2] >>> 0 }
}

function seedState(seed: Uint8Array): State {
  const view = viewOf(seed)
  return [view.getUint32(0, true), view.getUint32(4, true), view.getUint32(8, true), view.getUint32(12, true)]
}

/** Eight words of four bytes, the first highest, filled up with the length of what is left of the name. */
function wordsOf(rest: Uint8Array): Uint32Array {
  const length = rest.byteLength
  const filler = (length * 0x0101_0101) & 0xffff_ffff
  const words = new Uint32Array(partBytes / 4)
  for (let word = 0; word < words.length; word++) {
    let value = filler
    for (let index = 4 * word; index < Math.min(4 * word + 4, length); index++)
      value = (rest[index] ?? 0) + (value << 8)
    words[word] = value
  }
  return words
}

function mixIn(state: State, words: Uint32Array): void {
  let [a, b, c, d] = state
  for (const [mix, constant, order, shifts] of rounds) {
    for (const [index, word] of order.entries()) {
      const sum = (a + mix(b, c, d) + (words[word] ?? 0) + constant) | 0
      const shift = shifts[index % 4] ?? 0
      const turned = (sum << shift) | (sum >>> (32 - shift))
      // The kernel names the variables a, d, c, b in turn; here they change places instead.
      ;[a, b, c, d] = [d, turned, b, c]
    }
  }
  state[0] = (state[0] + a) | 0
  state[1] = (state[1] + b) | 0
  state[2] = (state[2] + c) | 0
  state[3] = (state[3] + d) | 0
}
