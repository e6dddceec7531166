// From the configuration to what PID 1 is told: /etc/solo/plan.json.
import { type Plan, type ServicePlan, validatePlan } from '@pkg/init/plan'
import type { ApplianceConfig, HookConfig, ServiceConfig } from '../config.ts'
import { signalNumber } from '../config/signals.ts'
import { diskGuid } from '../disk/guids.ts'
import { groupIdsOf, uidOf, userOf } from './accounts.ts'
import { CERTIFICATES_FILE } from './certificates.ts'
import type { BuildFormat } from './format.ts'
import { agentGid } from './own-services.ts'

/** Folder of a bundled service in the image. */
export function serviceFolder(name: string): string {
  return `/usr/lib/solo/${name}`
}

/** Program and arguments of a service in the image. */
export function commandOf(service: ServiceConfig): readonly string[] {
  return service.command ?? ['/bin/bun', `${serviceFolder(service.name)}/index.js`, ...(service.args ?? [])]
}

/** The hooks of a service, each with the key that it has in the configuration, and the folder of a bundled one. */
export function hooksOf({ name, data, beforeUpdate }: ServiceConfig): {
  readonly key: string
  readonly hook: HookConfig | undefined
  readonly folder: string
}[] {
  const folder = serviceFolder(name)
  return [
    { key: 'data.migrate', hook: data?.migrate, folder: `${folder}/migrate` },
    { key: 'beforeUpdate', hook: beforeUpdate, folder: `${folder}/before-update` },
  ]
}

/** What PID 1 is told of data and hooks. */
function hookPlans(service: ServiceConfig): object {
  const [migrate, beforeUpdate] = hooksOf(service).map(({ hook, folder }) => {
    if (hook === undefined) return null
    const { command = ['/bin/bun', `${folder}/index.js`], timeoutMs } = hook
    return { command, timeoutMs }
  })
  return { beforeUpdate, ...(service.data === undefined ? {} : { data: { ...service.data, migrate } }) }
}

/**
 * For the firmware's variables, the boot partition and the data partition: mount(2) in a machine without modprobe finds
 * no file system by itself.
 */
const DISK_MODULES = ['efivarfs', 'vfat', 'nls_cp437', 'nls_ascii', 'ext4']

/** GPT name of the partition that becomes /var. */
export const DATA_PARTITION = 'data'

/** The plan of a checked configuration. */
export function makePlan(config: ApplianceConfig, format: BuildFormat): Plan {
  return validatePlan(
    {
      version: 1,
      hostname: config.hostname ?? config.name,
      modules: [...(format === 'disk' ? DISK_MODULES : []), ...(config.modules ?? [])],
      network: { dhcp: config.network?.dhcp ?? true },
      sysctl: config.sysctl ?? {},
      storage:
        format === 'disk' ? { dataPartition: DATA_PARTITION, builtDiskGuid: diskGuid(config.name) } : null,
      folders: (config.folders ?? []).map(({ path, mode = 0o750, user = 'root' }) => {
        const uid = uidOf(config, user)
        return { path, mode, uid, gid: uid }
      }),
      services: config.services.map((service) => servicePlan(service, config)),
      shutdownTimeoutMs: config.shutdownTimeoutMs ?? 30_000,
      control: { gid: config.agent === undefined ? 0 : agentGid },
      gate: config.updates?.gate ?? {},
      time: { servers: config.timeServers ?? [] },
      allowEmergencyShell: config.allowEmergencyShell ?? false,
    },
    'plan.json',
  )
}

/** The plan fills in what is left out. */
function servicePlan(
  service: ServiceConfig,
  config: ApplianceConfig,
): Readonly<Record<string, unknown>> & Pick<ServicePlan, 'name'> {
  const { uid } = userOf(service, config)
  return {
    name: service.name,
    command: commandOf(service),
    environment: { ...ownVariables(service, config), ...service.environment },
    uid,
    gid: uid,
    groups: groupIdsOf(service, config),
    workingDirectory: service.workingDirectory ?? '/',
    stopSignal: signalNumber(service.stopSignal ?? 'SIGTERM'),
    stopTimeoutMs: service.stopTimeoutMs ?? 10_000,
    after: service.after ?? [],
    ...hookPlans(service),
    ...Object.fromEntries(
      asTheyAre.flatMap((key) => (service[key] === undefined ? [] : [[key, service[key]]])),
    ),
  }
}

/** What a service finds in its environment unless the configuration says otherwise. */
function ownVariables(service: ServiceConfig, { certificates }: ApplianceConfig): Record<string, string> {
  const port = service.ports?.[0]
  const hasOwnAuthorities = service.entry !== undefined && (certificates?.files?.length ?? 0) > 0
  return {
    ...(port === undefined ? {} : { PORT: String(port) }),
    // Bun reads no file of certificates by itself.
    ...(hasOwnAuthorities ? { NODE_EXTRA_CA_CERTS: CERTIFICATES_FILE } : {}),
  }
}

/** What configuration and plan call the same. */
const asTheyAre = [
  'restart',
  'restartDelayMs',
  'restartLimit',
  'ready',
  'health',
  'required',
  'capabilities',
  'limits',
] as const satisfies readonly (keyof ServiceConfig & keyof ServicePlan)[]
