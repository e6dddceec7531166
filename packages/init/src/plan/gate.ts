/** The part of the plan that says what a trial has to show. */
import { readProbe, type Probe } from './probe.ts'
import { below, maxTimeMs, readArray, readBoolean, readInteger, readObject, type Problems } from './read.ts'

/** The gate before the blessing of a release that runs for the first time. */
export interface GatePlan {
  /** For so long all required services have to be ready and healthy, and none may crash. Default: 10 000 ms. */
  readonly stableMs: number
  /** A trial that has not passed after this time, from the start of the services on, is given up. Default: 120 000 ms. */
  readonly timeoutMs: number
  /** Whether somebody has to confirm it (`commit` by the control socket) beside all that. Default: false. */
  readonly confirm: boolean
  /** What has to succeed beside the probes of the services. Commands run as nobody. Default: none. */
  readonly probes: readonly Probe[]
}

/** Reads `gate`. */
export function readGate(problems: Problems, value: unknown): GatePlan {
  const gate = readObject(problems, 'gate', value, ['stableMs', 'timeoutMs', 'confirm', 'probes'])
  const time = (key: string, normal: number, least: number): number =>
    readInteger(problems, below('gate', key), gate[key] ?? normal, least, maxTimeMs)
  return {
    stableMs: time('stableMs', 10_000, 0),
    timeoutMs: time('timeoutMs', 120_000, 1),
    confirm: readBoolean(problems, 'gate.confirm', gate['confirm'] ?? false),
    probes: readArray(problems, 'gate.probes', gate['probes'] ?? [], (path, each) => {
      return readProbe(problems, path, each)
    }),
  }
}
