// The rows of the bench, as a table for people and as JSON for programs.
import { compare } from './statistics.ts'

/** Nanoseconds in each unit of time, bytes in each unit of size. */
const unitSize = { ns: 1, µs: 1e3, ms: 1e6, s: 1e9, KB: 1e3, MB: 1e6 } as const

/** One comparison. Null where a contestant could not be had. */
export interface Row {
  name: string
  ours: number | null
  peer: number | null
  peerName: string
  /** ours / peer, of the medians. */
  ratio: number | null
  unit: keyof typeof unitSize
  /** The ratios of single rounds, 10th to 90th percentile. */
  interval: [low: number, high: number] | null
  rounds: number
  /** What `ours` may be, where there is such a promise: it depends on the machine, as ratios do not. */
  limit?: number
  /** What `ratio` may be. */
  ratioLimit?: number
}

/** What a row's figures may be. */
export type Limits = Pick<Row, 'limit' | 'ratioLimit'>

/** Makes a row from the nanoseconds or bytes of each round, with its limits: that of ours in the row's unit. */
export function rowOf(
  name: string,
  peerName: string,
  unit: Row['unit'],
  ours: readonly number[] | undefined,
  peer: readonly number[] | undefined,
  limits: Limits = {},
): Row {
  if (ours === undefined || peer === undefined) {
    return {
      name,
      ours: null,
      peer: null,
      peerName,
      ratio: null,
      unit,
      interval: null,
      rounds: 0,
      ...limits,
    }
  }
  const result = compare(ours, peer)
  const inUnit = (value: number): number => value / unitSize[unit]
  return {
    name,
    ours: inUnit(result.ours),
    peer: inUnit(result.peer),
    peerName,
    ratio: result.ratio,
    unit,
    interval: result.interval,
    rounds: ours.length,
    ...limits,
  }
}

/** The rows that are above their limits, in words. */
export function overLimit(rows: readonly Row[]): string[] {
  return rows.flatMap(({ name, peerName, ours, ratio, limit, ratioLimit, unit }) => {
    const lines: string[] = []
    if (ours !== null && limit !== undefined && ours > limit) {
      lines.push(`above its limit: ${name}: ${figure(ours, unit)}, limit ${limit} ${unit}`)
    }
    if (ratio !== null && ratioLimit !== undefined && ratio > ratioLimit) {
      lines.push(`above its limit: ${name}: ${ratio.toFixed(2)} × ${peerName}, limit ${ratioLimit} ×`)
    }
    return lines
  })
}

/** `[{ name, ours, peer, peerName, ratio, unit, interval, rounds }]`. A peer that is missing has null figures. */
export function printJson(rows: readonly Row[]): string {
  const entries = rows.map(({ name, ours, peer, peerName, ratio, unit, interval, rounds }) => {
    return { name, ours, peer, peerName, ratio, unit, interval, rounds }
  })
  return `${JSON.stringify(entries, null, 2)}\n`
}

/** A table with one line a row. */
export function printTable(rows: readonly Row[]): string {
  const header = ['', 'ours', 'peer', '', 'ratio', '10–90 %', 'rounds']
  const lines = rows.map((row) => [
    row.name,
    figure(row.ours, row.unit),
    figure(row.peer, row.unit),
    row.peerName,
    row.ratio === null ? 'missing' : row.ratio.toFixed(2),
    row.interval === null ? '' : row.interval.map((value) => value.toFixed(2)).join('–'),
    String(row.rounds),
  ])
  const widths = header.map((title, column) =>
    Math.max(title.length, ...lines.map((line) => line[column]?.length ?? 0)),
  )
  return [header, ...lines]
    .map((line) =>
      line
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .map((line) => `${line}\n`)
    .join('')
}

function figure(value: number | null, unit: string): string {
  return value === null ? '—' : `${value.toPrecision(3)} ${unit}`
}
