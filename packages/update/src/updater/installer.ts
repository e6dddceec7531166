// One installation at a time, on this machine's own partitions.
import { installRelease } from '../install.ts'
import { openDonor, openPartition } from '../partition.ts'
import { folderSource } from '../folder-source.ts'
import { collectDocuments } from '../layout.ts'
import { UpdateRefused } from '../refused.ts'
import type { BootPartition } from '../slot.ts'
import type { BlobSource } from '../source.ts'
import type { InstalledMessage, InstallProgress, SlotState } from '../updater-protocol.ts'
import { readBootFiles } from '../install/boot-files.ts'
import {
  type Boot,
  checkLastTry,
  checkRelease,
  checkTrial,
  type DevicePaths,
  isLastTry,
  readBoot,
  readIdentity,
  slotsOf,
} from './device.ts'
import { type StickPlaces, withLayoutOnStick } from './stick.ts'
import { freeState, installingState, runningState, slotEntryOf } from './slot-states.ts'

/** Where the updater does its work. */
export interface InstallerOptions {
  readonly paths: DevicePaths
  /** Where media are looked for. */
  readonly stick: StickPlaces
  /** Opens the folder of boot entries of a boot partition, for as long as it is needed. */
  readonly openBoot: (device: string, access: 'read' | 'write') => Promise<BootPartition & Disposable>
}

/** How an installation is watched and ended. */
export interface WatchOptions {
  readonly onProgress: (progress: InstallProgress) => void
  readonly signal: AbortSignal
}

/** An installation. */
export interface InstallRequest extends WatchOptions {
  /** The release's documents, as they came. */
  readonly documents: unknown
  readonly source: BlobSource
}

/** The free slot's boot entries decide only where the running slot has no try left. */
async function checkFallback(state: Boot, boot: BootPartition, freeSlot: string): Promise<void> {
  if (!isLastTry(state)) return
  const { entries } = await readBootFiles(boot, freeSlot)
  checkLastTry(
    state,
    entries.map(({ name }) => name),
  )
}

/** Does what the clients ask for. */
export class Installer {
  readonly #options: InstallerOptions
  /** The free slot as it is told while it is being written. */
  #installing: SlotState | undefined
  /** Whether media are being looked at: they have one mount point. */
  #searching = false
  /** The boot partition has one mount point: what needs it goes one after the other. */
  #lastUse: Promise<unknown> = Promise.resolve()
  /** The free slot, until the next installation: to count what is there, all of it is read. */
  #freeState: SlotState | undefined

  constructor(options: InstallerOptions) {
    this.#options = options
  }

  /** Checks a release as {@link install} does. @throws UpdateRefused */
  async verify(documents: unknown): Promise<{ version: string; counter: number }> {
    const { release, boot: bootState } = await checkRelease(documents, this.#options.paths)
    checkTrial(bootState)
    const { free, esp } = slotsOf(bootState)
    // Not while another is being installed: it would have to wait for that, and is checked again afterwards.
    if (isLastTry(bootState) && this.#installing === undefined) {
      await this.#exclusively(async () => {
        using boot = await this.#options.openBoot(esp, 'read')
        await checkFallback(bootState, boot, free.slot)
      })
    }
    return { version: release.version, counter: release.counter }
  }

  /** Installs a release. @throws UpdateRefused `busy` while another is being installed; what {@link installRelease} throws */
  async install({ documents, source, onProgress, signal }: InstallRequest): Promise<InstalledMessage> {
    const { paths, openBoot } = this.#options
    const { release, boot: bootState } = await checkRelease(documents, paths)
    checkTrial(bootState)
    const { running, free, esp } = slotsOf(bootState)
    if (this.#installing !== undefined) throw new UpdateRefused('busy', 'another release is being installed')
    this.#installing = installingState(free.slot, release)
    try {
      return await this.#exclusively(async () => {
        using boot = await openBoot(esp, 'write')
        await checkFallback(bootState, boot, free.slot)
        this.#freeState = undefined
        using target = openPartition(free.root)
        using donor = openDonor(running.root)
        const { fetchedBytes } = await installRelease({
          release,
          source,
          slot: free.slot,
          target,
          donors: [donor],
          boot,
          onProgress,
          signal,
        })
        const { version, counter } = release
        return { type: 'installed', slot: free.slot, version, counter, fetchedBytes }
      })
    } finally {
      this.#installing = undefined
    }
  }

  /**
   * Installs the release that is on a medium.
   *
   * @throws UpdateRefused `stick` when there is none; as {@link install}
   */
  async installFromStick(watch: WatchOptions): Promise<InstalledMessage> {
    const { paths, stick } = this.#options
    const { disk } = await readBoot(paths)
    // Without it the machine's own partitions would be taken for media.
    if (disk === null)
      throw new UpdateRefused('slot', 'it is not known which disk is the own one of this machine')
    if (this.#searching) throw new UpdateRefused('busy', 'media are being looked at already')
    this.#searching = true
    try {
      const installed = await withLayoutOnStick(stick, disk, async (folder) => {
        const source = folderSource(folder)
        const documents = await collectDocuments(source, undefined, watch.signal)
        return await this.install({ documents, source, ...watch })
      })
      if (installed !== undefined) return installed
    } finally {
      this.#searching = false
    }
    throw new UpdateRefused(
      'stick',
      'there is no release on any medium: expected oci-layout and index.json in its first folder or in one called solo',
    )
  }

  /** How the slots stand, the one that runs first. */
  async state(): Promise<{ slots: SlotState[]; installing: boolean }> {
    const { paths } = this.#options
    const [bootState, identity] = await Promise.all([readBoot(paths), readIdentity(paths)])
    const { running, free, esp } = slotsOf(bootState)
    const runs = runningState(running.slot, bootState.entry, identity)
    if (this.#installing !== undefined) return { slots: [runs, this.#installing], installing: true }
    return await this.#exclusively(async () => {
      this.#freeState ??= await this.#lookAt(free, esp)
      return { slots: [runs, this.#freeState], installing: false }
    })
  }

  async #lookAt({ slot, root: device }: { slot: string; root: string }, esp: string): Promise<SlotState> {
    const look = async (): Promise<Parameters<typeof freeState>[1]> => {
      using boot = await this.#options.openBoot(esp, 'read')
      return await slotEntryOf(slot, boot)
    }
    // Not mounted any longer than that: PID 1 blesses and rolls back there, and all of a root may have to be read now.
    const entry = await look()
    using root = openDonor(device)
    return await freeState(slot, entry, root)
  }

  async #exclusively<T>(task: () => Promise<T>): Promise<T> {
    const before = this.#lastUse
    const mine = before.then(task, task)
    this.#lastUse = mine.catch(() => undefined)
    return await mine
  }
}
