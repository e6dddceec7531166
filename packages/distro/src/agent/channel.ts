// Following a channel: the agent fetches, as it has the network; what is installed the updater decides by itself.
import { readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { MachineStatus } from '@pkg/init/control'
import {
  type FollowChannelOptions,
  type FollowerEvent,
  type FollowingDevice,
  followChannel,
} from '@pkg/update/channel-follower'
import { type MaintenanceWindow, nextOpening } from '@pkg/update/channel-decision'
import { httpSource } from '@pkg/update/http-source'
import { registrySource } from '@pkg/update/registry-source'
import { effectiveTrust } from '@pkg/update/trust'
import type { SlotState } from '@pkg/update/updater-protocol'
import { z } from 'zod'
import type { ChannelState } from './bodies.ts'
import { ControlRefused } from './control-client.ts'
import type { ChannelSettings } from './settings.ts'
import type { Updates } from './updates.ts'

/** What following needs. */
export interface ChannelContext {
  readonly settings: ChannelSettings
  /** Where the channel is. */
  readonly source: FollowChannelOptions['source']
  /** What the device knows of itself. */
  readonly files: ChannelFiles
  /** The agent's own folder: what was seen of the channel is kept there. */
  readonly folder: string
  readonly updates: Updates
  /** Asks PID 1 how the machine is. */
  readonly machine: () => Promise<MachineStatus>
  /** Asks the updater how the slots stand. */
  readonly slots: () => Promise<readonly SlotState[] | null>
  /** Has the machine restarted. */
  readonly restart: () => Promise<void>
  readonly log: (line: string) => void
}

/** Where it is written what a device is and whom it believes. */
export interface ChannelFiles {
  /** The image's trust document. */
  readonly trust: string
  /** Those that the updater has accepted since. */
  readonly keptTrust: string
  /** Made at the first boot. */
  readonly machineId: string
}

/** In an image. */
export const channelFiles: ChannelFiles = {
  trust: '/etc/solo/trust.json',
  keptTrust: '/var/lib/solo/trust.json',
  machineId: '/etc/machine-id',
}

/** The newest pointer that was believed: whoever shows an older one holds the device back. */
const POINTER_FILE = 'pointer.json'

const pointerSchema = z.object({ issuedSeconds: z.number(), trustVersion: z.number() })

/** A channel that is followed until the agent ends. */
export class Channel {
  readonly #context: ChannelContext
  #state: ChannelState
  /** The release that is in the other slot, whole, and waits for a boot. */
  #pending: number | null = null

  constructor(context: ChannelContext) {
    this.#context = context
    this.#state = { name: context.settings.name, lookedAt: null, detail: 'not looked at yet' }
  }

  /** What came out of the last look. */
  get state(): ChannelState {
    return this.#state
  }

  /** Follows it. @throws the signal's reason */
  async follow(signal: AbortSignal): Promise<void> {
    const { settings, source, updates } = this.#context
    await followChannel({
      source,
      channel: settings.name,
      intervalMs: settings.pollMinutes * 60_000,
      readDevice: () => this.#readDevice(),
      install: (documents, from) => updates.channel(documents, from, signal),
      onEvent: (event) => this.#onEvent(event),
      signal,
    })
  }

  async #readDevice(): Promise<FollowingDevice> {
    const { settings, files, machine, slots } = this.#context
    const { release, lastRollback } = (await machine()).boot
    if (release === null) throw new Error('PID 1 does not say what release runs')
    const { appliance, board, architecture } = release
    if (architecture !== 'x86_64' && architecture !== 'aarch64') throw new Error(`unknown: ${architecture}`)
    // One that was given up is still whole, and has no tries.
    const other = (await slots())?.find(({ running, condition, triesLeft }) => {
      return !running && condition === 'whole' && (triesLeft ?? 0) > 0
    })
    this.#pending = other?.counter ?? null
    const givenUp = lastRollback?.from.counter ?? null
    const lastPointer = await this.#readPointer()
    return {
      device: {
        ...{ appliance, board, architecture },
        trust: effectiveTrust(await readFile(files.trust, 'utf8'), await readOptional(files.keptTrust)),
        nowSeconds: Math.floor(Date.now() / 1000),
        ...(lastPointer === undefined ? {} : { lastPointer }),
      },
      situation: {
        running: release,
        other: other === undefined || other.counter === null ? null : { counter: other.counter },
        givenUp: givenUp === null ? null : { counter: givenUp, reason: lastRollback?.reason ?? '' },
        machineId: (await readFile(files.machineId, 'utf8')).trim(),
        ...(settings.window === null ? {} : { window: settings.window }),
      },
    }
  }

  async #onEvent(event: FollowerEvent): Promise<void> {
    const { settings } = this.#context
    if (event.type === 'decision') {
      const { pointer, trustVersion, decision } = event
      await this.#keepPointer({ issuedSeconds: pointer.issuedSeconds, trustVersion })
      const { version, counter } = pointer.release
      const windows = [pointer.window, settings.window ?? undefined]
      // A service has refused the restart that came with the installation, or the agent was started again before it.
      if (settings.restart && decision.action === 'none' && this.#pending === counter && areOpen(windows))
        await this.#restartInto(version)
      else this.#tell(decision.reason)
    } else if (event.type === 'failed') {
      this.#tell(event.error instanceof Error ? event.error.message : String(event.error))
    } else {
      const { version, slot } = event.installed
      this.#tell(`${version} is in ${slot}, and is tried at the next boot`)
      if (settings.restart) await this.#restartInto(version)
    }
  }

  /** What a service refuses now it is asked again at the next look. */
  async #restartInto(version: string): Promise<void> {
    const { restart, log } = this.#context
    log(`restarting into ${version}`)
    try {
      await restart()
    } catch (error) {
      if (!(error instanceof ControlRefused)) throw error
      this.#tell(`${version} is installed, and waits: ${error.message}`)
    }
  }

  #tell(detail: string): void {
    const { settings, log } = this.#context
    // The same answer each hour is no news.
    if (detail !== this.#state.detail) log(`channel ${settings.name}: ${detail}`)
    this.#state = { name: settings.name, lookedAt: new Date().toISOString(), detail }
  }

  async #readPointer(): Promise<z.infer<typeof pointerSchema> | undefined> {
    const text = await readOptional(join(this.#context.folder, POINTER_FILE))
    if (text === undefined) return undefined
    try {
      return pointerSchema.parse(JSON.parse(text))
    } catch {
      // Cut off by a full disk; the expiry of the pointers is the bound that remains.
      return undefined
    }
  }

  async #keepPointer(pointer: z.infer<typeof pointerSchema>): Promise<void> {
    const file = join(this.#context.folder, POINTER_FILE)
    await writeFile(`${file}.new`, JSON.stringify(pointer))
    await rename(`${file}.new`, file)
  }
}

function areOpen(windows: readonly (MaintenanceWindow | undefined)[]): boolean {
  const nowSeconds = Math.floor(Date.now() / 1000)
  return windows.every((window) => window === undefined || nextOpening(window, nowSeconds) === nowSeconds)
}

/** The source of a channel by its settings. */
export function sourceOf({ from }: ChannelSettings): FollowChannelOptions['source'] {
  return 'url' in from ? httpSource(from.url) : registrySource(from)
}

async function readOptional(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8')
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
    throw error
  }
}
