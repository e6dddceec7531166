// The rows of the bench, as a table for people and as JSON for programs.
import { compare } from './statistics.ts'

/** Nanoseconds in each unit. */
const unitNs = { ns: 1, µs: 1e3, s: 1e9 } as const

/** One comparison. Null where a contestant could not be had. */
export interface Row {
  name: string
  ours: number | null
  peer: number | null
  peerName: string
  /** ours / peer, of the medians. */
  ratio: number | null
  unit: keyof typeof unitNs
  /** The ratios of single rounds, 10th to 90th percentile. */
  interval: [low: number, high: number] | null
  rounds: number
}

/** Makes a row from the nanoseconds of each round. */
export function rowOf(
  name: string,
  peerName: string,
  unit: Row['unit'],
  ours: readonly number[] | undefined,
  peer: readonly number[] | undefined,
): Row {
  if (ours === undefined || peer === undefined) {
    return { name, ours: null, peer: null, peerName, ratio: null, unit, interval: null, rounds: 0 }
  }
  const result = compare(ours, peer)
  const inUnit = (value: number): number => value / unitNs[unit]
  return {
    name,
    ours: inUnit(result.ours),
    peer: inUnit(result.peer),
    peerName,
    ratio: result.ratio,
    unit,
    interval: result.interval,
    rounds: ours.length,
  }
}

/** `[{ name, ours, peer, peerName, ratio, unit }]`. A peer that is missing has null figures. */
export function printJson(rows: readonly Row[]): string {
  const entries = rows.map(({ name, ours, peer, peerName, ratio, unit }) => ({
    name,
    ours,
    peer,
    peerName,
    ratio,
    unit,
  }))
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
