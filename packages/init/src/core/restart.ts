/** Whether and when a service that has ended is started again, and how its end is put into words. */
import type { RestartDelay, RestartPolicy } from '../plan.ts'
import type { Exit } from './state.ts'

/**
 * A run of this length is stable: the delay starts again from the beginning. It is the interval in which
 * systemd counts starts (`DefaultStartLimitIntervalSec=10s`, systemd-system.conf(5)).
 */
export const STABLE_RUN_MS = 10_000

/** The share of a delay that is random, so that services that fail together do not come back together. */
const JITTER = 0.1

/** HUP, INT, PIPE, TERM: ends that systemd counts as clean too (systemd.service(5), Restart=). */
const cleanSignals: ReadonlySet<number> = new Set([1, 2, 13, 15])

/** Names of the signals that end services in practice; others are shown by number. */
const signalNames: Readonly<Record<number, string>> = {
  1: 'SIGHUP',
  2: 'SIGINT',
  3: 'SIGQUIT',
  4: 'SIGILL',
  5: 'SIGTRAP',
  6: 'SIGABRT',
  7: 'SIGBUS',
  8: 'SIGFPE',
  9: 'SIGKILL',
  10: 'SIGUSR1',
  11: 'SIGSEGV',
  12: 'SIGUSR2',
  13: 'SIGPIPE',
  14: 'SIGALRM',
  15: 'SIGTERM',
  31: 'SIGSYS',
}

/** What follows when a service has ended by itself. */
export type AfterExit = 'restart' | 'done' | 'failed'

/** Decides by the policy alone. */
export function afterExit(policy: RestartPolicy, exit: Exit): AfterExit {
  if (policy === 'always') return 'restart'
  if (isClean(exit)) return 'done'
  return policy === 'on-failure' ? 'restart' : 'failed'
}

/** Whether an end is no failure. */
export function isClean(exit: Exit): boolean {
  return exit.signal === null ? exit.code === 0 : cleanSignals.has(exit.signal)
}

/** The end of a process in words: `exited with status 1`, `killed by SIGSEGV`. */
export function describeExit(exit: Exit): string {
  if (exit.signal !== null) return `killed by ${signalName(exit.signal)}`
  return `exited with status ${exit.code ?? 'unknown'}`
}

/** A signal's name, or `signal 42`. */
export function signalName(signal: number): string {
  return signalNames[signal] ?? `signal ${signal}`
}

/**
 * The delay after so many failures in a row: geometric, bounded, with a random share taken off (never added,
 * so that `max` is the true maximum).
 *
 * @param failures - at least 1
 * @param randomShare - from 0 to below 1
 */
export function restartDelayMs(delay: RestartDelay, failures: number, randomShare: number): number {
  const grown = Math.min(delay.max, delay.initial * delay.factor ** (failures - 1))
  return Math.round(grown * (1 - JITTER * randomShare))
}
