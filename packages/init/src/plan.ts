/**
 * The plan: everything that PID 1 is told, as one JSON file (`/etc/solo/plan.json`) that the build writes.
 * Reading it needs no npm package, reports every mistake at once by the path of its key, and fills in what
 * was left out; after that no other code has to ask whether a field is there.
 */
import {
  below,
  readArray,
  readBoolean,
  readInteger,
  readObject,
  readRecord,
  readString,
  report,
  type PlanProblem,
  type Problems,
} from './plan/read.ts'

export type { PlanProblem } from './plan/read.ts'

/** When a service that has ended is started again. */
export type RestartPolicy = 'always' | 'on-failure' | 'never'

/** The growing delay before a service is started again. */
export interface RestartDelay {
  /** Delay after the first failure, in milliseconds. */
  readonly initial: number
  /** The delay never grows beyond this, in milliseconds. */
  readonly max: number
  /** Each failure in a row multiplies the delay by this; at least 1. */
  readonly factor: number
}

/** One service. */
export interface ServicePlan {
  /** Its name: letters, digits, `-` and `_`; also the name of its cgroup and the prefix of its log lines. */
  readonly name: string
  /** Program and arguments; the program is an absolute path, no shell is involved. */
  readonly command: readonly string[]
  /** The whole environment besides PATH and HOME; nothing is inherited from PID 1. Default: empty. */
  readonly environment: Readonly<Record<string, string>>
  /** User id of the process. */
  readonly uid: number
  /** Group id of the process. */
  readonly gid: number
  /** Supplementary groups. Default: none. */
  readonly groups: readonly number[]
  /** Folder that the process starts in. Default: `/`. */
  readonly workingDirectory: string
  /**
   * When to start it again after it has ended. A failure is a status other than 0 or a signal other than HUP,
   * INT, TERM and PIPE, as systemd counts. Default: `always`.
   */
  readonly restart: RestartPolicy
  /** Delay before starting it again. Default: 100 ms, doubling up to 30 s. */
  readonly restartDelayMs: RestartDelay
  /** Give up after so many ends in a row without a stable run; 0 (the default) never gives up. */
  readonly restartLimit?: number
  /** Number of the signal that asks it to stop. Default: 15 (SIGTERM). */
  readonly stopSignal: number
  /** How long it may take to stop before its whole cgroup is killed, in milliseconds. Default: 10 000. */
  readonly stopTimeoutMs: number
  /**
   * Start only when these services have been started (or have failed to), and stop before they are stopped.
   * `network-online` stands for "the network is configured, or it was given up". Default: none.
   */
  readonly after: readonly string[]
}

/** The whole plan. */
export interface Plan {
  /** Version of this format. */
  readonly version: 1
  /** Host name. Default: `solo`. */
  readonly hostname: string
  /** Names of kernel modules to load first, in this order. Default: none. */
  readonly modules: readonly string[]
  /** Network: `dhcp` asks for an address on every wired interface. Default: no DHCP. */
  readonly network: {
    /** Ask for an IPv4 address by DHCP. */
    readonly dhcp: boolean
  }
  /** Kernel settings by their names below /proc/sys, as `sysctl.d` writes them. Default: none. */
  readonly sysctl: Readonly<Record<string, string>>
  /** The services. */
  readonly services: readonly ServicePlan[]
  /** Bound of the whole orderly shutdown, in milliseconds. Default: 30 000. */
  readonly shutdownTimeoutMs: number
  /** Offer a shell on the console when the boot cannot go on. Default: false. */
  readonly allowEmergencyShell: boolean
}

/** The name that a service can put into `after` to wait for the network. */
export const NETWORK_ONLINE = 'network-online'

/** A plan that cannot be used; `problems` has every mistake, the message shows them one a line. */
export class PlanError extends Error {
  override name = 'PlanError'
  /** Every mistake that was found. */
  readonly problems: readonly PlanProblem[]

  constructor(source: string, problems: readonly PlanProblem[]) {
    const lines = problems.map(({ path, expected, found }) => {
      return `${path === '' ? 'the plan' : path}: expected ${expected}, found ${found}`
    })
    super(`${source}: ${lines.join(`\n${source}: `)}`)
    this.problems = problems
  }
}

const planKeys = [
  'version',
  'hostname',
  'modules',
  'network',
  'sysctl',
  'services',
  'shutdownTimeoutMs',
  'allowEmergencyShell',
]

const serviceKeys = [
  'name',
  'command',
  'environment',
  'uid',
  'gid',
  'groups',
  'workingDirectory',
  'restart',
  'restartDelayMs',
  'restartLimit',
  'stopSignal',
  'stopTimeoutMs',
  'after',
]

/** (uid_t) -1 means "leave unchanged" in setresuid(2), so it is no user. */
const maxId = 0xffff_fffe
/** setTimeout's longest delay, 24.8 days; a longer one would fire at once. */
const maxTimeMs = 0x7fff_ffff
/** Dots are left out: the kernel's own files in a cgroup (`cgroup.procs`) all have one. */
const namePattern = /^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$/
/** HOST_NAME_MAX is 64, see gethostname(2); labels as in RFC 1123. */
const hostnamePattern =
  /^(?=.{1,64}$)[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*$/
const restartPolicies: readonly string[] = ['always', 'on-failure', 'never']
/** `init` marks the log lines of PID 1 itself. */
const reservedNames: ReadonlySet<string> = new Set(['init', NETWORK_ONLINE])

/**
 * Reads a plan from the text of a JSON file.
 *
 * @param text - the JSON text
 * @param source - name of the file, for messages
 * @throws {@link PlanError} with every mistake in it
 * @example
 * ```ts
 * import { parsePlan } from '@pkg/init/plan'
 *
 * const plan = parsePlan('{ "version": 1, "services": [] }', 'plan.json')
 * console.log(plan.hostname) // solo
 * ```
 */
export function parsePlan(text: string, source = 'plan'): Plan {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    throw new PlanError(source, [
      { path: '', expected: 'JSON', found: error instanceof Error ? error.message : String(error) },
    ])
  }
  return validatePlan(value, source)
}

/**
 * Checks a value of unknown shape and fills in the defaults.
 *
 * @param value - what JSON.parse gave
 * @param source - name of the file, for messages
 * @throws {@link PlanError} with every mistake in it
 */
export function validatePlan(value: unknown, source = 'plan'): Plan {
  const problems: Problems = []
  const top = readObject(problems, '', value, planKeys)
  if (problems.some(({ path }) => path === '')) throw new PlanError(source, problems)
  if (top['version'] !== 1) report(problems, 'version', '1', top['version'])
  const network = readObject(problems, 'network', top['network'] ?? {}, ['dhcp'])
  const plan: Plan = {
    version: 1,
    hostname: readString(problems, 'hostname', top['hostname'] ?? 'solo', 'a host name', hostnamePattern),
    modules: readArray(problems, 'modules', top['modules'] ?? [], (path, each) => {
      return readString(problems, path, each, 'the name of a kernel module', /^[\w-]+$/)
    }),
    network: { dhcp: readBoolean(problems, 'network.dhcp', network['dhcp'] ?? false) },
    sysctl: readRecord(problems, 'sysctl', top['sysctl'] ?? {}, 'a name below /proc/sys', sysctlPattern),
    services: readArray(problems, 'services', top['services'], (path, each) =>
      readService(problems, path, each),
    ),
    shutdownTimeoutMs: readInteger(
      problems,
      'shutdownTimeoutMs',
      top['shutdownTimeoutMs'] ?? 30_000,
      1,
      maxTimeMs,
    ),
    allowEmergencyShell: readBoolean(problems, 'allowEmergencyShell', top['allowEmergencyShell'] ?? false),
  }
  checkNames(problems, plan.services)
  checkOrder(problems, plan.services)
  if (problems.length > 0) throw new PlanError(source, problems)
  return plan
}

const sysctlPattern = /^(?!.*(^|[./])\.?[./])[\w-][\w./:*-]*$/

function readService(problems: Problems, path: string, value: unknown): ServicePlan {
  const service = readObject(problems, path, value, serviceKeys)
  const at = (key: string): string => below(path, key)
  const id = (where: string, each: unknown): number => readInteger(problems, where, each, 0, maxId)
  return {
    name: readString(
      problems,
      at('name'),
      service['name'],
      'a name of letters, digits, - and _',
      namePattern,
    ),
    command: readCommand(problems, at('command'), service['command']),
    environment: readRecord(
      problems,
      at('environment'),
      service['environment'] ?? {},
      'the name of a variable',
      /^[A-Za-z_]\w*$/,
    ),
    uid: id(at('uid'), service['uid']),
    gid: id(at('gid'), service['gid']),
    groups: readArray(problems, at('groups'), service['groups'] ?? [], id),
    workingDirectory: readString(
      problems,
      at('workingDirectory'),
      service['workingDirectory'] ?? '/',
      'an absolute path',
      /^\//,
    ),
    restart: readRestart(problems, at('restart'), service['restart'] ?? 'always'),
    restartDelayMs: readDelay(problems, at('restartDelayMs'), service['restartDelayMs'] ?? {}),
    restartLimit: readInteger(problems, at('restartLimit'), service['restartLimit'] ?? 0, 0, 1_000_000),
    stopSignal: readInteger(problems, at('stopSignal'), service['stopSignal'] ?? 15, 1, 64),
    stopTimeoutMs: readInteger(
      problems,
      at('stopTimeoutMs'),
      service['stopTimeoutMs'] ?? 10_000,
      0,
      maxTimeMs,
    ),
    after: readArray(problems, at('after'), service['after'] ?? [], (where, each) => {
      return readString(problems, where, each, 'the name of a service')
    }),
  }
}

function readCommand(problems: Problems, path: string, value: unknown): string[] {
  const command = readArray(problems, path, value, (where, each) => readString(problems, where, each))
  if (Array.isArray(value) && !command[0]?.startsWith('/')) {
    report(problems, `${path}[0]`, 'the absolute path of a program', command[0])
  }
  return command
}

function readRestart(problems: Problems, path: string, value: unknown): RestartPolicy {
  if (value === 'always' || value === 'on-failure' || value === 'never') return value
  report(problems, path, `one of ${restartPolicies.join(', ')}`, value)
  return 'always'
}

function readDelay(problems: Problems, path: string, value: unknown): RestartDelay {
  const delay = readObject(problems, path, value, ['initial', 'max', 'factor'])
  const initial = readInteger(problems, below(path, 'initial'), delay['initial'] ?? 100, 0, maxTimeMs)
  const max = readInteger(
    problems,
    below(path, 'max'),
    delay['max'] ?? Math.max(30_000, initial),
    0,
    maxTimeMs,
  )
  const factor = delay['factor'] ?? 2
  if (max < initial) report(problems, below(path, 'max'), `at least initial (${initial})`, max)
  if (typeof factor !== 'number' || !(factor >= 1 && factor <= 100)) {
    report(problems, below(path, 'factor'), 'a number from 1 to 100', factor)
    return { initial, max, factor: 1 }
  }
  return { initial, max, factor }
}

function checkNames(problems: Problems, services: readonly ServicePlan[]): void {
  const seen = new Set<string>()
  for (const [index, { name }] of services.entries()) {
    const path = `services[${index}].name`
    if (reservedNames.has(name)) report(problems, path, 'a name that is not reserved', name)
    if (name !== '' && seen.has(name)) report(problems, path, 'a name that no other service has', name)
    seen.add(name)
  }
}

/** A service that waits for itself, over whatever detour, would never start; so a circle is a mistake. */
function checkOrder(problems: Problems, services: readonly ServicePlan[]): void {
  const byName = new Map(services.map((service) => [service.name, service]))
  for (const [index, service] of services.entries()) {
    for (const [place, name] of service.after.entries()) {
      if (name !== NETWORK_ONLINE && name !== '' && !byName.has(name)) {
        report(problems, `services[${index}].after[${place}]`, 'the name of a service in this plan', name)
      }
    }
    if (waitsFor(byName, service, service.name)) {
      report(problems, `services[${index}].after`, 'no circle back to the service itself', service.after)
    }
  }
}

function waitsFor(
  byName: ReadonlyMap<string, ServicePlan>,
  from: ServicePlan,
  name: string,
  seen: Set<string> = new Set(),
): boolean {
  for (const next of from.after) {
    if (next === name) return true
    const service = byName.get(next)
    if (service === undefined || seen.has(next)) continue
    seen.add(next)
    if (waitsFor(byName, service, name, seen)) return true
  }
  return false
}
