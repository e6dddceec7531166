/**
 * The plan: everything that PID 1 is told, as one JSON file (`/etc/solo/plan.json`) that the build writes.
 * Reading it needs no npm package, reports every mistake at once by the path of its key, and fills in what
 * was left out; after that no other code has to ask whether a field is there.
 */
import {
  maxId,
  maxTimeMs,
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
import { checkDataFolders } from './plan/data.ts'
import { readGate, type GatePlan } from './plan/gate.ts'
import { readService, type ServicePlan } from './plan/service.ts'
import { readFolder, readStorage, type FolderPlan, type StoragePlan } from './plan/storage.ts'

export type { PlanProblem } from './plan/read.ts'
export { capabilityNames } from './plan/capabilities.ts'
export type { DataPlan } from './plan/data.ts'
export type { GatePlan } from './plan/gate.ts'
export type { HookPlan } from './plan/hook.ts'
export type { LimitsPlan } from './plan/limits.ts'
export type {
  CommandProbe,
  HealthPlan,
  HttpProbe,
  NotifyReadiness,
  Probe,
  Readiness,
  TcpProbe,
} from './plan/probe.ts'
export type { RestartDelay, RestartPolicy, ServicePlan } from './plan/service.ts'
export type { FolderPlan, StoragePlan } from './plan/storage.ts'

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
  /** The disk; null (the default) where there is none, and /var is memory. */
  readonly storage: StoragePlan | null
  /** Folders that services need. Default: none. */
  readonly folders: readonly FolderPlan[]
  /** The services. */
  readonly services: readonly ServicePlan[]
  /** Bound of the whole orderly shutdown, in milliseconds. Default: 30 000. */
  readonly shutdownTimeoutMs: number
  /** Who may ask PID 1 for something by its control socket. */
  readonly control: {
    /** The group that may, beside root. Default: 0, root's. */
    readonly gid: number
  }
  /** What a trial has to show before its slot is blessed. */
  readonly gate: GatePlan
  /** The clock. */
  readonly time: {
    /** Time servers, by name or address; those that DHCP names are asked first. Default: none. */
    readonly servers: readonly string[]
  }
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
  'storage',
  'folders',
  'services',
  'shutdownTimeoutMs',
  'control',
  'gate',
  'time',
  'allowEmergencyShell',
]

/** HOST_NAME_MAX is 64, see gethostname(2); labels as in RFC 1123. */
const hostnamePattern =
  /^(?=.{1,64}$)[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*$/
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
  const control = readObject(problems, 'control', top['control'] ?? {}, ['gid'])
  const time = readObject(problems, 'time', top['time'] ?? {}, ['servers'])
  const plan: Plan = {
    version: 1,
    hostname: readString(problems, 'hostname', top['hostname'] ?? 'solo', 'a host name', hostnamePattern),
    modules: readArray(problems, 'modules', top['modules'] ?? [], (path, each) => {
      return readString(problems, path, each, 'the name of a kernel module', /^[\w-]+$/)
    }),
    network: { dhcp: readBoolean(problems, 'network.dhcp', network['dhcp'] ?? false) },
    sysctl: readRecord(problems, 'sysctl', top['sysctl'] ?? {}, 'a name below /proc/sys', sysctlPattern),
    storage: readStorage(problems, top['storage'] ?? null),
    folders: readArray(problems, 'folders', top['folders'] ?? [], (path, each) =>
      readFolder(problems, path, each),
    ),
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
    control: {
      gid: readInteger(problems, 'control.gid', control['gid'] ?? 0, 0, maxId),
    },
    gate: readGate(problems, top['gate'] ?? {}),
    time: {
      servers: readArray(problems, 'time.servers', time['servers'] ?? [], (path, each) => {
        return readString(problems, path, each, 'a name or an address', /^[A-Za-z0-9.:-]{1,253}$/)
      }),
    },
    allowEmergencyShell: readBoolean(problems, 'allowEmergencyShell', top['allowEmergencyShell'] ?? false),
  }
  checkNames(problems, plan.services)
  checkOrder(problems, plan.services)
  checkDataFolders(problems, plan.services)
  if (problems.length > 0) throw new PlanError(source, problems)
  return plan
}

const sysctlPattern = /^(?!.*(^|[./])\.?[./])[\w-][\w./:*-]*$/

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
