/** The command line of the program. */

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
  /** Folder of the sockets, and of what PID 1 tells of the boot. */
  readonly run: string
  /** undefined: a container in any pid namespace but the first. */
  readonly mode: Mode | undefined
  /** Whether debug lines are shown. */
  readonly debug: boolean
}

/** What is printed for `--help`, for a mistake, and to anybody who is not PID 1. */
export const usage = `usage: bun init.js [--plan FILE] [--console PATH|-] [--cgroup NAME]
                   [--run FOLDER] [--mode machine|container] [--debug]

Runs as PID 1 of a machine or of a pid namespace, starts the services of the plan,
restarts them, reaps orphans and shuts down on a signal.

  --plan FILE     the plan (default: /etc/solo/plan.json)
  --console PATH  where log lines go (default: /dev/console, in a container -, the standard output)
  --cgroup NAME   the control group above those of the services (default: solo)
  --run FOLDER    where sockets and the state of the boot go (default: /run/solo)
  --mode MODE     machine: mount, load modules, configure the network, power off;
                  container: only services (default: machine in the first pid namespace)
  --debug         log every reaped orphan too
`

const defaults: Options = {
  plan: '/etc/solo/plan.json',
  console: undefined,
  cgroup: 'solo',
  run: '/run/solo',
  mode: undefined,
  debug: false,
}

/**
 * Reads the command line. By hand: importing `node:util` for it would cost a tenth of PID 1's start.
 *
 * @throws TypeError for an unknown or incomplete option
 */
export function parseOptions(args: readonly string[]): Options {
  const values: { -readonly [K in keyof Options]: Options[K] } = { ...defaults }
  const rest = args.flatMap((word) => splitAtEquals(word))
  for (let word = rest.shift(); word !== undefined; word = rest.shift()) {
    if (word === '--debug') {
      values.debug = true
      continue
    }
    if (!['--plan', '--console', '--cgroup', '--run', '--mode'].includes(word)) {
      throw new TypeError(`unknown option ${word}`)
    }
    const value = rest.shift()
    if (value === undefined) throw new TypeError(`${word}: a value is missing`)
    if (word === '--plan') values.plan = value
    else if (word === '--console') values.console = value
    else if (word === '--cgroup') values.cgroup = readCgroup(value)
    else if (word === '--run') values.run = readFolder(value)
    else values.mode = readMode(value)
  }
  return values
}

function splitAtEquals(word: string): string[] {
  const equals = word.indexOf('=')
  return word.startsWith('--') && equals > 0 ? [word.slice(0, equals), word.slice(equals + 1)] : [word]
}

function readCgroup(value: string): string {
  if (/^[\w-]+$/.test(value)) return value
  throw new TypeError(`--cgroup: expected letters, digits, _ and -, got ${value}`)
}

/** A socket's path has at most 107 bytes (unix(7)), with the name that comes after the folder. */
function readFolder(value: string): string {
  if (/^\/[^\0]{1,80}$/.test(value)) return value
  throw new TypeError(`--run: expected an absolute path of at most 81 characters, got ${value}`)
}

function readMode(value: string): Mode {
  if (value === 'machine' || value === 'container') return value
  throw new TypeError(`--mode: expected machine or container, got ${value}`)
}
