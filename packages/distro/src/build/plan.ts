// From the configuration to what PID 1 is told: /etc/solo/plan.json.
import { type Plan, type ServicePlan, validatePlan } from '@pkg/init/plan'
import type { ApplianceConfig, ServiceConfig } from '../config.ts'
import { signalNumber } from '../config/signals.ts'
import { stableUid } from '../config/users.ts'

/** A user that services run as. */
export interface ServiceUser {
  readonly name: string
  readonly uid: number
}

/** Folder of a bundled service in the image. */
export function serviceFolder(name: string): string {
  return `/usr/lib/solo/${name}`
}

/** The user of a service: its own, a shared one, or root. */
export function userOf(service: ServiceConfig): ServiceUser {
  const name = service.user ?? service.name
  return { name, uid: service.uid ?? stableUid(name) }
}

/** All users, each once, in the order of their numbers. */
export function usersOf(config: ApplianceConfig): ServiceUser[] {
  const byName = new Map(config.services.map((service) => [userOf(service).name, userOf(service)]))
  return [...byName.values()].toSorted((a, b) => a.uid - b.uid)
}

/** Program and arguments of a service in the image. */
export function commandOf(service: ServiceConfig): readonly string[] {
  return service.command ?? ['/bin/bun', `${serviceFolder(service.name)}/index.js`]
}

/** The plan of a checked configuration. */
export function makePlan(config: ApplianceConfig): Plan {
  return validatePlan(
    {
      version: 1,
      hostname: config.hostname ?? config.name,
      modules: config.modules ?? [],
      network: { dhcp: config.network?.dhcp ?? true },
      sysctl: config.sysctl ?? {},
      services: config.services.map(servicePlan),
      shutdownTimeoutMs: config.shutdownTimeoutMs ?? 30_000,
      allowEmergencyShell: config.allowEmergencyShell ?? false,
    },
    'plan.json',
  )
}

function servicePlan(service: ServiceConfig): Partial<ServicePlan> {
  const { uid } = userOf(service)
  const port = service.ports?.[0]
  return {
    name: service.name,
    command: commandOf(service),
    environment: { ...(port === undefined ? {} : { PORT: String(port) }), ...service.environment },
    uid,
    gid: uid,
    groups: service.groups ?? [],
    workingDirectory: service.workingDirectory ?? '/',
    stopSignal: signalNumber(service.stopSignal ?? 'SIGTERM'),
    stopTimeoutMs: service.stopTimeoutMs ?? 10_000,
    after: service.after ?? [],
    ...(service.restart === undefined ? {} : { restart: service.restart }),
    ...(service.restartDelayMs === undefined
      ? {}
      : { restartDelayMs: service.restartDelayMs as ServicePlan['restartDelayMs'] }),
    ...(service.restartLimit === undefined ? {} : { restartLimit: service.restartLimit }),
  }
}
