// What the agent is told, as the build writes it into the image: /etc/solo/agent.json.
import { z } from 'zod'
import { type Role, roles } from './roles.ts'

/** The agent's settings. */
export interface AgentSettings {
  /** The appliance's name; a factory reset has to be asked for with it. */
  readonly appliance: string
  /** Host name: the certificate is for it, and for it below `.local`. */
  readonly hostname: string
  /** TCP port; 0 takes any that is free. */
  readonly port: number
  /** Who may log in. */
  readonly keys: readonly AgentKey[]
  /** Folder of the agent's own, where its key and certificate are kept. */
  readonly folder: string
  /** Folder of the agent's own in memory: it is there, and has room, when the data partition has none. */
  readonly runFolder: string
  /** PID 1's control socket. */
  readonly controlSocket: string
  /** The updater's socket; null in an image that takes no updates. */
  readonly updaterSocket: string | null
  /** The channel to follow; null for none. */
  readonly channel: ChannelSettings | null
}

/** A key that may log in. */
export interface AgentKey {
  /** An SSH public key, as a line of authorized_keys. */
  readonly key: string
  /** What whoever has it may do. */
  readonly role: Role
}

/** A channel, and how it is followed. */
export interface ChannelSettings {
  /** Its name. */
  readonly name: string
  /** Where it is: a web server's folder, or a repository of a registry. */
  readonly from: { readonly url: string } | { readonly registry: string; readonly repository: string }
  /** How often it is looked at. */
  readonly pollMinutes: number
  /** When an installation may begin; null for always. */
  readonly window: { readonly from: string; readonly to: string } | null
  /** Whether the device restarts into a release as soon as it is installed. */
  readonly restart: boolean
}

/** Where the build writes them. */
export const AGENT_SETTINGS_FILE = '/etc/solo/agent.json'

const channel = z.strictObject({
  name: z.string(),
  from: z.union([
    z.strictObject({ url: z.string() }),
    z.strictObject({ registry: z.string(), repository: z.string() }),
  ]),
  pollMinutes: z.number(),
  window: z.strictObject({ from: z.string(), to: z.string() }).nullable(),
  restart: z.boolean(),
})

const schema = z.strictObject({
  appliance: z.string(),
  hostname: z.string(),
  port: z.int().min(0).max(65_535),
  keys: z.array(z.strictObject({ key: z.string(), role: z.enum(roles) })).min(1),
  folder: z.string(),
  runFolder: z.string(),
  controlSocket: z.string(),
  updaterSocket: z.string().nullable(),
  channel: channel.nullable(),
})

/**
 * Reads the settings.
 *
 * @throws Error naming the file and what is wrong in it
 */
export async function readAgentSettings(file: string): Promise<AgentSettings> {
  try {
    return schema.parse(await Bun.file(file).json())
  } catch (error) {
    throw new Error(`${file}: ${error instanceof Error ? error.message : String(error)}`, { cause: error })
  }
}
