/** Which of the possible states of an epoch are looked at: all where they are few, and well-chosen ones where not. */
import { seededRandom } from '../faults/random.ts'
import type { ChangeEntry } from '../nbd/log.ts'

/** Which of an epoch's candidates reached the disk. */
export interface Choice {
  /** By position among the candidates: bit 0 is the first. */
  mask: bigint
  /** The one that reached it only in part; its bit is set. */
  torn?: Tear
}

/** A write of which some sectors reached the disk. */
export interface Tear {
  /** Position of the write among the candidates. */
  position: number
  /** Whether its first (`head`) or its last (`tail`) sectors did. */
  part: 'head' | 'tail'
  /** How many. */
  sectors: number
}

/** How many states are looked at. */
export interface ChoiceLimits {
  seed: string | number
  exhaustiveWrites: number
  samplesPerEpoch: number
  tornPerEpoch: number
  sectorBytes: number
}

/** The choices for an epoch; the one where everything arrived is the last. */
export function* choices(
  candidates: readonly ChangeEntry[],
  epochNumber: number,
  limits: ChoiceLimits,
): Generator<Choice> {
  const random = seededRandom(`${limits.seed}/${epochNumber}`)
  const count = candidates.length
  if (count <= limits.exhaustiveWrites) for (let mask = 0n; mask < prefix(count); mask += 1n) yield { mask }
  else yield* sampledSubsets(count, limits.samplesPerEpoch, random)
  yield* sampled([...tears(candidates, limits.sectorBytes)], limits.tornPerEpoch, random)
  for (let length = 0; length <= count; length += 1) yield { mask: prefix(length) }
}

/**
 * One write lost is how most broken orders show themselves, so half of the samples are that; the other half are
 * subsets at random, in which each write is there or not by the toss of a coin.
 */
function* sampledSubsets(count: number, limit: number, random: () => number): Generator<Choice> {
  const all = prefix(count)
  const without = Array.from({ length: count }, (_, position) => ({ mask: all & ~(1n << BigInt(position)) }))
  yield* sampled(without, Math.ceil(limit / 2), random)
  for (let sample = 0; sample < Math.floor(limit / 2); sample += 1) {
    let mask = 0n
    for (let position = 0; position < count; position += 1) if (random() < 0.5) mask |= 1n << BigInt(position)
    if (mask !== all) yield { mask }
  }
}

/** Each write torn after its first sector, in its middle and before its last sector, all before it having arrived. */
function* tears(candidates: readonly ChangeEntry[], sectorBytes: number): Generator<Choice> {
  for (const [position, change] of candidates.entries())
    for (const sectors of tearPoints(change, sectorBytes)) {
      const mask = prefix(position + 1)
      yield { mask, torn: { position, part: 'head', sectors } }
      const all = sectorCount(change, sectorBytes)
      yield { mask, torn: { position, part: 'tail', sectors: all - sectors } }
    }
}

/** After how many of its sectors a change is torn. Zeros and trims are carried out by description: those are not. */
export function tearPoints(change: ChangeEntry, sectorBytes: number): number[] {
  const count = sectorCount(change, sectorBytes)
  if (change.kind !== 'write' || count < 2) return []
  return [...new Set([1, Math.floor(count / 2), count - 1])]
}

/** How many sectors a change touches. */
export function sectorCount({ offset, length }: ChangeEntry, sectorBytes: number): number {
  return Math.ceil((offset + length) / sectorBytes) - Math.floor(offset / sectorBytes)
}

/** At most `limit` of the choices, in their order: equal seeds choose the same. */
function sampled(all: Choice[], limit: number, random: () => number): Choice[] {
  let wanted = Math.min(limit, all.length)
  // Knuth, The Art of Computer Programming, vol. 2, 3.4.2, algorithm S.
  return all.filter((_, index) => {
    const taken = random() * (all.length - index) < wanted
    if (taken) wanted -= 1
    return taken
  })
}

/** The first `length` of the candidates. */
function prefix(length: number): bigint {
  return (1n << BigInt(length)) - 1n
}

/** A choice as a name: `<mask in hexadecimal>` or `<mask>-<position><h or t><sectors>`. */
export function choiceName({ mask, torn }: Choice): string {
  const tear = torn === undefined ? '' : `-${torn.position}${torn.part === 'head' ? 'h' : 't'}${torn.sectors}`
  return `${mask.toString(16)}${tear}`
}

/** The inverse of {@link choiceName}; undefined for what is no name. */
export function parseChoice(name: string): Choice | undefined {
  const found = /^([0-9a-f]+)(?:-(\d+)([ht])(\d+))?$/.exec(name)
  if (!found) return undefined
  const [, mask, position, part, sectors] = found
  const choice: Choice = { mask: BigInt(`0x${mask}`) }
  if (position === undefined) return choice
  return {
    ...choice,
    torn: { position: Number(position), part: part === 'h' ? 'head' : 'tail', sectors: Number(sectors) },
  }
}
