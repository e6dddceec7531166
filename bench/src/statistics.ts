// What is said of repeated measurements: medians, and how far the rounds agree.

/**
 * The middle of `values`, or the mean of the two in the middle.
 *
 * @throws RangeError when there are none
 */
export function median(values: readonly number[]): number {
  return quantile(values, 0.5)
}

/**
 * The value below which a share of `values` lies, interpolated between neighbours.
 *
 * @param share - from 0 to 1
 * @throws RangeError when there are no values
 */
export function quantile(values: readonly number[], share: number): number {
  if (values.length === 0) throw new RangeError('no measurements')
  const sorted = values.toSorted((left, right) => left - right)
  const position = share * (sorted.length - 1)
  const below = sorted[Math.floor(position)] ?? 0
  const above = sorted[Math.ceil(position)] ?? 0
  return below + (above - below) * (position - Math.floor(position))
}

/** Ours against a peer's, measured in the same rounds. */
export interface Comparison {
  ours: number
  peer: number
  /** ours / peer, of the medians. */
  ratio: number
  /** The ratios of the single rounds, from the 10th to the 90th percentile. */
  interval: [low: number, high: number]
}

/**
 * Compares two contestants round by round.
 *
 * @throws RangeError unless both were measured in the same number of rounds
 */
export function compare(ours: readonly number[], peer: readonly number[]): Comparison {
  if (ours.length !== peer.length) throw new RangeError(`${ours.length} rounds against ${peer.length}`)
  const ratios = ours.map((value, round) => value / (peer[round] ?? Number.NaN))
  const [oursMedian, peerMedian] = [median(ours), median(peer)]
  return {
    ours: oursMedian,
    peer: peerMedian,
    ratio: oursMedian / peerMedian,
    interval: [quantile(ratios, 0.1), quantile(ratios, 0.9)],
  }
}
