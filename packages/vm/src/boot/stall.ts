/**
 * Tells a boot that stands still from one that is slow. Translated (QEMU 7.2, TCG, two processors) a boot hangs now and
 * then, one processor waiting for the other: nothing that we start cures that, so the machine is started anew, once. A
 * guest that boots reads from its root image, whatever the host is busy with.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { VmError } from '../errors.ts'
import type { QemuMachine } from '../qemu.ts'

/** How long a guest may read nothing, in milliseconds. The longest pause of a boot is 1 s, on a busy host 8 s. */
const STALL_MS = 20_000

/** How often it is asked, in milliseconds. */
const INTERVAL_MS = 1_000

/** A guest that stopped in the middle of its boot, before its agent was there. */
export class BootStalledError extends VmError {
  override name = 'BootStalledError'
}

/** What is needed of a machine. */
export interface WatchedMachine {
  /** Its monitor. */
  readonly qmp: Pick<QemuMachine['qmp'], 'execute'>
  /** Its console, for the error. */
  readonly console: Pick<QemuMachine['console'], 'tail'>
}

/** The times of {@link watchBoot}, in milliseconds. */
export interface StallTimes {
  /** How long a guest may read nothing. Default 20,000. */
  readonly stallMs?: number
  /** How often it is asked. Default 1,000. */
  readonly intervalMs?: number
}

/**
 * Watches a guest with a root image while it boots.
 *
 * @param signal - aborted when the boot is over
 * @throws {@link BootStalledError} it stands still; the reason of `signal`
 */
export async function watchBoot(
  { qmp, console }: WatchedMachine,
  signal: AbortSignal,
  { stallMs = STALL_MS, intervalMs = INTERVAL_MS }: StallTimes = {},
): Promise<never> {
  let [known, sinceMs] = [-1, performance.now()]
  for (;;) {
    await delay(intervalMs, undefined, { signal })
    const reads = await readsOf(qmp)
    if (reads !== known) [known, sinceMs] = [reads, performance.now()]
    else if (performance.now() - sinceMs > stallMs)
      throw new BootStalledError(stalledMessage(reads, stallMs), console.tail())
  }
}

/** Waits for the end of a boot, and for as long has it watched. */
export async function watched<T>(
  ended: Promise<T>,
  watch: ((signal: AbortSignal) => Promise<never>) | undefined,
): Promise<T> {
  const over = new AbortController()
  try {
    return await Promise.race([ended, ...(watch ? [watch(over.signal)] : [])])
  } finally {
    over.abort()
  }
}

/** As often as the guest read from any of its disks. A machine that is gone counts as one that stands still. */
async function readsOf(qmp: WatchedMachine['qmp']): Promise<number> {
  const answer = await qmp.execute('query-blockstats').catch(() => [])
  const devices = answer as readonly { readonly stats: { readonly rd_operations: number } }[]
  return devices.reduce((sum, { stats }) => sum + stats.rd_operations, 0)
}

function stalledMessage(reads: number, stallMs: number): string {
  const where = reads === 0 ? 'before it read its root' : `after ${reads} reads of its root`
  return `the guest's boot stood still for ${stallMs / 1000} s, ${where}`
}

/**
 * Starts a guest, and once more when its boot stood still, which is told as a warning of the process.
 *
 * @param start - starts it; told whether it is to be watched
 */
export async function startUnstalled<T>(
  start: (isWatched: boolean) => Promise<T>,
  onProgress: ((step: string) => void) | undefined,
): Promise<T> {
  try {
    return await start(true)
  } catch (error) {
    if (!(error instanceof BootStalledError)) throw error
    process.emitWarning(`a guest is booted anew: ${error.message}`, { code: 'SOLO_BOOT_STALLED' })
    onProgress?.('booting anew, as the guest stood still')
    return await start(false)
  }
}
