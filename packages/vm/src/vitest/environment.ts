/** Environment variables for a worker: those of the project and of vitest, not those of the host. */

/** Variables of the host that say how to print, and whether this is a CI. */
const PASSED_ON: ReadonlySet<string> = new Set([
  'CI',
  'COLORTERM',
  'DEBUG',
  'FORCE_COLOR',
  'NO_COLOR',
  'TERM',
  'TZ',
])

/**
 * Picks from the environment that vitest made for its workers (the host's, then vitest's own, then the project's).
 * What is as on the host (`HOME`, `PATH`, secrets) stays there.
 */
export function workerEnvironment(
  env: Readonly<Record<string, string | undefined>>,
  host: Readonly<Record<string, string | undefined>> = process.env,
): Record<string, string> {
  const result: Record<string, string> = {
    HOME: '/root',
    PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
    LANG: 'C.UTF-8',
  }
  for (const [name, value] of Object.entries(env)) {
    if (value === undefined) continue
    if (value !== host[name] || PASSED_ON.has(name) || VITESTS_OWN.has(name)) result[name] = value
  }
  return result
}

/** Set by vitest, and perhaps the same around it already: a vitest that runs in a vitest. */
const VITESTS_OWN: ReadonlySet<string> = new Set(['TEST', 'VITEST', 'NODE_ENV', 'VITEST_MODE', 'FORCE_TTY'])
