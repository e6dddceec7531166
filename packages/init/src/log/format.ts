/** How a log line looks, so that PID 1's lines and the kernel's own read as one log. */

/** `[   1.234567]`: seconds since the machine started, as printk writes them. */
export function stamp(uptimeMs: number): string {
  return `[${(uptimeMs / 1000).toFixed(6).padStart(12)}]`
}

/** `[   1.234567] web: text`. */
export function formatLine(uptimeMs: number, source: string, text: string): string {
  return `${stamp(uptimeMs)} ${source}: ${text}`
}

/** What the line at the end of the boot says. */
export interface Readiness {
  /** From the start of PID 1 to now. */
  readonly tookMs: number
  /** Services that run. */
  readonly running: number
  /** Services that ought to run and do not, with the reason. */
  readonly failed: readonly { readonly name: string; readonly reason: string }[]
  /** Resident memory of PID 1. */
  readonly residentBytes: number
}

/**
 * The line that says that the boot is over; `solo run --check` reads it.
 *
 * `ready in 612 ms: 2 services running, 0 failed, resident 28.1 MiB`, and `… 1 failed (web: ENOENT), …`.
 */
export function readyText({ tookMs, running, failed, residentBytes }: Readiness): string {
  const services = `${running} ${running === 1 ? 'service' : 'services'} running`
  const reasons = failed.map(({ name, reason }) => `${name}: ${reason}`).join('; ')
  const failures = `${failed.length} failed${failed.length > 0 ? ` (${reasons})` : ''}`
  const resident = `resident ${(residentBytes / 2 ** 20).toFixed(1)} MiB`
  return `ready in ${Math.round(tookMs)} ms: ${services}, ${failures}, ${resident}`
}
