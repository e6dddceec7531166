// What an image says of itself, and whom it believes: the files that PID 1, the updater and the agent read.
import { RELEASE_FILE, type ReleaseIdentity } from '@pkg/init/boot-state'
import { type TrustDocumentRole, writeTrustDocument } from '@pkg/update/trust'
import { AGENT_SETTINGS_FILE } from '../agent/settings.ts'
import type { ApplianceConfig, SignersConfig } from '../config.ts'
import { publicKeyLines } from '../config/keys.ts'
import type { LoadedAppliance } from '../config/load.ts'
import { agentSettings, takesUpdates } from './own-services.ts'
import type { BuildFormat } from './format.ts'

/** Where the updater finds the image's trust document. */
const TRUST_FILE = '/etc/solo/trust.json'

/** What an image is a release of. */
export function releaseIdentity(
  config: ApplianceConfig,
  architecture: string,
  createdSeconds: number,
): ReleaseIdentity {
  const counter = config.release ?? 1
  return {
    appliance: config.name,
    version: config.version ?? String(counter),
    counter,
    board: config.updates?.board ?? 'generic',
    architecture,
    // Whole seconds, as the release's manifest has them.
    created: `${new Date(createdSeconds * 1000).toISOString().slice(0, 19)}Z`,
  }
}

/** The files by path. */
export function updateFiles(
  loaded: LoadedAppliance,
  identity: ReleaseIdentity,
  format: BuildFormat,
): ReadonlyMap<string, string> {
  const { config } = loaded
  const json = (value: unknown): string => `${JSON.stringify(value, undefined, 2)}\n`
  return new Map([
    [RELEASE_FILE, json(identity)],
    ...(config.agent === undefined
      ? []
      : [[AGENT_SETTINGS_FILE, json(agentSettings(loaded, format))] as const]),
    ...(takesUpdates(config, format) ? [[TRUST_FILE, trustDocument(loaded)] as const] : []),
  ])
}

function trustDocument({ config, folder }: LoadedAppliance): string {
  const { updates } = config
  if (updates === undefined) throw new Error('an appliance without updates has no trust document')
  const role = ({ keys, threshold = 1 }: SignersConfig): TrustDocumentRole => {
    return { threshold, keys: publicKeyLines(keys, folder) }
  }
  const { release, trust = release, channel, trustVersion = 1 } = updates
  return writeTrustDocument({
    version: trustVersion,
    appliance: config.name,
    roles: {
      release: role(release),
      trust: role(trust),
      ...(channel === undefined ? {} : { channel: role(channel) }),
    },
  })
}
