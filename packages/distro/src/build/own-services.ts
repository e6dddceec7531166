// The services that are ours: the agent and the updater, as if the configuration had named them.
import { CONTROL_SOCKET } from '@pkg/init/control'
import { UPDATER_SOCKET } from '@pkg/update/updater-protocol'
import type { AgentSettings, ChannelSettings } from '../agent/settings.ts'
import type { ApplianceConfig, ChannelConfig, ServiceConfig } from '../config.ts'
import { ownServices } from '../config/check-updates.ts'
import type { LoadedAppliance } from '../config/load.ts'
import { publicKeyLine } from '../config/keys.ts'
import { AGENT_USER, stableUid } from '../config/users.ts'
import { parseRegistry } from '../release/place.ts'
import type { BuildFormat } from './format.ts'

/** The agent's folder. */
const AGENT_FOLDER = '/var/lib/solo/agent'

/** Its folder in memory. */
const AGENT_RUN_FOLDER = '/run/agent'

/** The port of the agent, unless the configuration has another. */
const AGENT_PORT = 8443

/** Group of those who may ask PID 1 and the updater: the agent's. */
export const agentGid: number = stableUid(AGENT_USER)

/** The agent's port; undefined without an agent. */
export function agentPort({ agent }: ApplianceConfig): number | undefined {
  return agent === undefined ? undefined : (agent.port ?? AGENT_PORT)
}

/** An image takes updates when it is a disk with slots, and the configuration says who signs them. */
export function takesUpdates({ updates }: ApplianceConfig, format: BuildFormat): boolean {
  return updates !== undefined && format === 'disk'
}

/** Whether a service is one of ours, in a configuration that has them. */
export function isOwnService(name: string, { agent }: ApplianceConfig): boolean {
  return agent !== undefined && ownServices.includes(name)
}

/** The configuration with our services, and the folder that they need. */
export function withOwnServices(loaded: LoadedAppliance, format: BuildFormat): LoadedAppliance {
  const { config } = loaded
  const port = agentPort(config)
  if (port === undefined) return loaded
  const services = [
    ...config.services,
    ...(takesUpdates(config, format) ? [updaterService()] : []),
    agentService(port),
  ]
  const own = [AGENT_FOLDER, AGENT_RUN_FOLDER].map((path) => ({ path, mode: 0o700, user: AGENT_USER }))
  const folders = [...(config.folders ?? []), ...own]
  return { ...loaded, config: { ...config, services, folders } }
}

function agentService(port: number): ServiceConfig {
  return {
    name: 'agent',
    entry: Bun.resolveSync('@pkg/distro/agent', import.meta.dirname),
    user: AGENT_USER,
    ports: [port],
    ready: { tcp: { port } },
    health: { tcp: { port } },
    // It holds some 20 MiB, and a dozen more with all its connections; what grows beyond this is ended before others starve.
    limits: { memoryMaxMiB: 128, tasksMax: 64 },
  }
}

function updaterService(): ServiceConfig {
  return {
    name: 'updater',
    entry: Bun.resolveSync('@pkg/update/updater', import.meta.dirname),
    args: ['--gid', String(agentGid)],
    // What takes its time are disks and hashes; without the optimizing compiler it needs a sixth less memory.
    environment: { BUN_JSC_useDFGJIT: '0' },
    user: 'root',
    // Its socket is the group's, and who is not in a group needs a capability to give a file to it.
    groups: [agentGid],
    capabilities: ['CAP_SYS_ADMIN'],
    // It holds some 45 MiB, and up to 32 more during an update (for roots above 256 MiB, 16 MiB more for each GiB: digests
    // of their blocks); the rest is for pages on their way to the disk.
    limits: { memoryMaxMiB: 160, tasksMax: 64 },
  }
}

/** The agent's settings. */
export function agentSettings({ config, folder }: LoadedAppliance, format: BuildFormat): AgentSettings {
  return {
    appliance: config.name,
    hostname: config.hostname ?? config.name,
    port: agentPort(config) ?? AGENT_PORT,
    keys: (config.agent?.keys ?? []).map((each) => {
      const { key, role } = typeof each === 'string' ? { key: each, role: 'admin' as const } : each
      return { key: publicKeyLine(key, folder), role }
    }),
    folder: AGENT_FOLDER,
    runFolder: AGENT_RUN_FOLDER,
    controlSocket: CONTROL_SOCKET,
    updaterSocket: takesUpdates(config, format) ? UPDATER_SOCKET : null,
    channel: takesUpdates(config, format) ? channelSettings(config.updates?.channel) : null,
  }
}

function channelSettings(channel: ChannelConfig | undefined): ChannelSettings | null {
  if (channel === undefined) return null
  const { url, name = 'stable', pollMinutes = 60, window = null, restart = true } = channel
  return { name, from: placeOf(url), pollMinutes, window, restart }
}

function placeOf(url: string): ChannelSettings['from'] {
  if (!url.startsWith('oci')) return { url }
  const { registry, repository } = parseRegistry(url.replace(/^oci\+http:/, 'oci:'))
  return {
    registry: url.startsWith('oci+http:') ? registry.replace(/^https:/, 'http:') : registry,
    repository,
  }
}
