// Following a channel: the agent fetches, as it has the network; what is installed the updater decides by itself.
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { BootState } from '@pkg/init/boot-state'
import type { MachineStatus } from '@pkg/init/control'
import {
  type FollowChannelOptions,
  type FollowerEvent,
  type FollowingDevice,
  followChannel,
} from '@pkg/update/channel-follower'
import type { ChannelPointer } from '@pkg/update/channel'
import type { ChannelDecision, GivenUp } from '@pkg/update/channel-decision'
import { httpSource } from '@pkg/update/http-source'
import { registrySource } from '@pkg/update/registry-source'
import { effectiveTrust } from '@pkg/update/trust'
import type { ReleaseDocuments } from '@pkg/update/release'
import { replaceFile } from '@pkg/update/replace-file'
import type { BlobSource } from '@pkg/update/source'
import type { InstalledMessage, SlotState } from '@pkg/update/updater-protocol'
import { z } from 'zod'
import type { ChannelState } from './bodies.ts'
import { ControlRefused } from './control-client.ts'
import type { ChannelSettings } from './settings.ts'
import { UpdateStopped, type Updates } from './updates.ts'

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

/** What is kept of a channel. */
const SEEN_FILE = 'pointer.json'

const seenSchema = z.object({
  ...{ channel: z.string(), appliance: z.string(), board: z.string() },
  /** The newest pointer that was believed: whoever shows an older one holds the device back. */
  ...{ issuedSeconds: z.number(), trustVersion: z.number() },
  /** Counter of the release that this channel has installed last. */
  installed: z.number().optional(),
  /** A release that was given up without a word and was installed once more, and when. */
  retried: z.object({ counter: z.number(), atSeconds: z.number() }).optional(),
})

type Seen = z.infer<typeof seenSchema>

const DAY_SECONDS = 24 * 60 * 60

/** As PID 1 says of a slot of which nobody, and no gate, has said that it is bad: power cuts and bad blocks look the same. */
const withoutWord =
  /^(its tries ran out, and it left no word|it did not get as far as its gate|the boot loader passed over it)/

/** A channel that is followed until the agent ends. */
export class Channel {
  readonly #context: ChannelContext
  #state: ChannelState
  /** What was seen last, which is in memory when it cannot be kept; undefined before anything was read. */
  #seen: Seen | null | undefined
  /** What the disk has of it. */
  #keptText: string | undefined
  /** At the last look, for what is decided after it. */
  #device: { appliance: string; board: string; givenUp: GivenUp | null; uptimeMs: number } | undefined
  /** Whether what is installed now was given up here before. */
  #isRetry = false
  /** What could not be read or kept, and why: told once. */
  readonly #complaints = new Map<string, string>()

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
    const { settings, source } = this.#context
    await followChannel({
      source,
      channel: settings.name,
      intervalMs: settings.pollMinutes * 60_000,
      readDevice: () => this.#readDevice(),
      install: (documents, from) => this.#install(documents, from, signal),
      onEvent: (event) => this.#onEvent(event),
      signal,
    })
  }

  async #readDevice(): Promise<FollowingDevice> {
    const { settings, files, machine, slots } = this.#context
    const { boot, uptimeMs } = await machine()
    const { release, clock } = boot
    if (release === null) throw new Error('PID 1 does not say what release runs')
    const { appliance, board, architecture } = release
    if (architecture !== 'x86_64' && architecture !== 'aarch64') throw new Error(`unknown: ${architecture}`)
    // One that was given up is still whole, and has no tries.
    const other = (await slots())?.find(({ running, condition, triesLeft }) => {
      return !running && condition === 'whole' && (triesLeft ?? 0) > 0
    })
    const seen = (this.#seen ??= await this.#readSeen(appliance, board))
    const nowSeconds = Math.floor(Date.now() / 1000)
    const givenUp = givenUpOf(boot, seen, nowSeconds)
    this.#device = { appliance, board, givenUp, uptimeMs }
    return {
      device: {
        ...{ appliance, board, architecture },
        trust: effectiveTrust(
          await readFile(files.trust, 'utf8'),
          await this.#read(files.keptTrust, 'usual'),
        ),
        nowSeconds,
        isTimeKnown: clock === 'sntp',
        ...(seen === null ? {} : { lastPointer: seen }),
      },
      situation: {
        running: release,
        other:
          other === undefined || other.counter === null
            ? null
            : { counter: other.counter, isOurs: other.counter === seen?.installed },
        givenUp,
        // Without one it is somewhere among all the same.
        machineId: ((await this.#read(files.machineId, 'none')) ?? '').trim(),
        ...(settings.window === null ? {} : { window: settings.window }),
      },
    }
  }

  async #install(
    documents: ReleaseDocuments,
    source: BlobSource,
    signal: AbortSignal,
  ): Promise<InstalledMessage | null> {
    try {
      return await this.#context.updates.channel(documents, source, signal)
    } catch (error) {
      // It did not come to a try.
      if (this.#isRetry && this.#seen) await this.#keep({ ...this.#seen, retried: undefined })
      if (!(error instanceof UpdateStopped)) throw error
      this.#tell(`the update was stopped, and begins again at the next look: ${error.message}`)
      return null
    }
  }

  async #onEvent(event: FollowerEvent): Promise<void> {
    if (event.type === 'decision') {
      const { pointer, trustVersion, decision } = event
      await this.#note(pointer, trustVersion, decision)
      // Asked for at each look: a service may refuse it, and the agent may be started again before it.
      if (decision.action === 'restart' && this.#context.settings.restart)
        await this.#restartInto(pointer.release.version)
      else this.#tell(decision.reason)
    } else if (event.type === 'failed') {
      this.#tell(messageOf(event.error))
    } else {
      const { version, counter, slot } = event.installed
      if (this.#seen) await this.#keep({ ...this.#seen, installed: counter })
      this.#tell(`${version} is in ${slot}, and is tried at the next boot`)
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

  /** Keeps what was seen. @throws Error when a release must not be tried again for that it cannot be noted */
  async #note(pointer: ChannelPointer, trustVersion: number, { action }: ChannelDecision): Promise<void> {
    if (this.#device === undefined) return
    const { appliance, board, givenUp, uptimeMs } = this.#device
    const { version, counter } = pointer.release
    const { issuedSeconds } = pointer
    const { installed, retried } = this.#seen ?? {}
    const place = { channel: this.#context.settings.name, appliance, board }
    const seen: Seen = { ...place, issuedSeconds, trustVersion, installed }
    const before = { ...seen, retried }
    this.#isRetry = action === 'install' && givenUp?.counter === counter
    if (!this.#isRetry) return void (await this.#keep(before))
    const atSeconds = Math.floor(Date.now() / 1000)
    if (await this.#keep({ ...seen, retried: { counter, atSeconds } })) return
    if (uptimeMs >= DAY_SECONDS * 1000) return
    // The restart would forget that it was tried again, and it would be each time the machine is up.
    this.#seen = before
    throw new Error(
      `${version} was given up, and may be tried again: as that cannot be noted, when the machine has run for a day`,
    )
  }

  /** Whether it is on the disk. In memory it holds from now on: a full disk must not keep out what would cure it. */
  async #keep(seen: Seen): Promise<boolean> {
    this.#seen = seen
    const text = JSON.stringify(seen)
    // The same pointer each hour need not be written each hour.
    if (text === this.#keptText) return true
    const file = join(this.#context.folder, SEEN_FILE)
    try {
      await replaceFile(file, text)
      this.#keptText = text
      this.#complaints.delete(file)
      return true
    } catch (error) {
      this.#complain(file, `what was seen of the channel is kept in memory only: ${messageOf(error)}`)
      return false
    }
  }

  /** Without it the expiry of the pointers is the bound that remains. */
  async #readSeen(appliance: string, board: string): Promise<Seen | null> {
    const file = join(this.#context.folder, SEEN_FILE)
    const text = await this.#read(file, 'usual')
    if (text === undefined) return null
    try {
      const seen = seenSchema.parse(JSON.parse(text))
      const isOurs =
        seen.channel === this.#context.settings.name && seen.appliance === appliance && seen.board === board
      if (isOurs) this.#keptText = text
      return isOurs ? seen : null
    } catch {
      // Cut off by a full disk, or of a release before this one.
      this.#complain(file, 'not understood, and counts as none')
      return null
    }
  }

  /** A file, as far as it can be read. @param missing - `usual`: that it is not there need not be told */
  async #read(file: string, missing: 'usual' | 'none'): Promise<string | undefined> {
    try {
      return await (missing === 'usual' ? readOptional(file) : readFile(file, 'utf8'))
    } catch (error) {
      this.#complain(file, `counts as none: ${messageOf(error)}`)
      return undefined
    }
  }

  #complain(file: string, complaint: string): void {
    if (this.#complaints.get(file) === complaint) return
    this.#complaints.set(file, complaint)
    this.#context.log(`${file}: ${complaint}`)
  }
}

/**
 * What was given up last. A release that was blessed here before, and of which no gate or person has said anything since,
 * may have met power cuts or a bad block: it is installed once more, and not again within a day.
 */
function givenUpOf(
  { lastRollback, counterFloor }: BootState,
  seen: Seen | null,
  nowSeconds: number,
): GivenUp | null {
  const counter = lastRollback?.from.counter ?? null
  if (lastRollback === null || counter === null) return null
  const { reason } = lastRollback
  if (counter > counterFloor || !withoutWord.test(reason)) return { counter, reason }
  const atSeconds = seen?.retried?.counter === counter ? seen.retried.atSeconds : -Infinity
  // One of far ahead was noted by a clock that was wrong.
  const isDue = Math.abs(nowSeconds - atSeconds) >= DAY_SECONDS
  return { counter, reason, retrySeconds: isDue ? 0 : atSeconds + DAY_SECONDS }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
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
