/** The command line of the program. */
import { parseArgs } from 'node:util'

/** Whether PID 1 owns a machine, or a pid namespace that somebody else has prepared. */
export type Mode = 'machine' | 'container'

/** What the command line says. */
export interface Options {
  /** The plan. */
  readonly plan: string
  /** Where lines go: a path, or `-` for the standard output; undefined: by the mode. */
  readonly console: string | undefined
  /** Name of the cgroup above those of the services. */
  readonly cgroup: string
  /** undefined: a container in any pid namespace but the first. */
  readonly mode: Mode | undefined
  /** Whether debug lines are shown. */
  readonly debug: boolean
}

/** What is printed for `--help`, for a mistake, and to anybody who is not PID 1. */
export const usage = `usage: bun init.js [--plan FILE] [--console PATH|-] [--cgroup NAME]
                   [--mode machine|container] [--debug]

Runs as PID 1 of a machine or of a pid namespace, starts the services of the plan,
restarts them, reaps orphans and shuts down on a signal.

  --plan FILE     the plan (default: /etc/solo/plan.json)
  --console PATH  where log lines go (default: /dev/console, in a container -, the standard output)
  --cgroup NAME   the control group above those of the services (default: solo)
  --mode MODE     machine: mount, load modules, configure the network, power off;
                  container: only services (default: machine in the first pid namespace)
  --debug         log every reaped orphan too
`

/**
 * Reads the command line.
 *
 * @throws TypeError for an unknown or incomplete option
 */
export function parseOptions(args: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...args],
    options: {
      plan: { type: 'string', default: '/etc/solo/plan.json' },
      console: { type: 'string' },
      cgroup: { type: 'string', default: 'solo' },
      mode: { type: 'string' },
      debug: { type: 'boolean', default: false },
    },
  })
  const { plan, cgroup, mode, debug } = values
  if (!/^[\w-]+$/.test(cgroup))
    throw new TypeError(`--cgroup: expected letters, digits, _ and -, got ${cgroup}`)
  if (mode !== undefined && mode !== 'machine' && mode !== 'container') {
    throw new TypeError(`--mode: expected machine or container, got ${mode}`)
  }
  return { plan, console: values.console, cgroup, mode, debug }
}
