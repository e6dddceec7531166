// The update that runs, of which there is one at a time: who brings it, how far it is, how it ended.
import { UpdateRefused } from '@pkg/update/refused'
import type { ReleaseDocuments } from '@pkg/update/release'
import type { BlobSource } from '@pkg/update/source'
import type { InstalledMessage, InstallProgress } from '@pkg/update/updater-protocol'
import type { UpdateOrigin, UpdateState, WantsAnswer } from './bodies.ts'
import { PushSource } from './push-source.ts'

/** Who watches an installation. */
export interface InstallWatch {
  /** Told of each step. */
  readonly onProgress: (progress: InstallProgress) => void
  /** Ends it early. */
  readonly signal: AbortSignal
}

/** The updater, as far as it is asked here. */
export interface Updater {
  /** Has a release installed. */
  install(documents: ReleaseDocuments, source: BlobSource, watch: InstallWatch): Promise<InstalledMessage>
  /** Has the release installed that is on a medium that is plugged in. */
  installFromStick(watch: InstallWatch): Promise<InstalledMessage>
}

/** A client that has not been heard of for so long has gone; what it has sent so far is kept in the slot. */
const CLIENT_MS = 30_000

/** How long a client waits for the next wants before it asks again. */
const POLL_MS = 15_000

/** There is an update under way. */
export class UpdateBusy extends Error {
  override name = 'UpdateBusy'
}

/** Somebody has stopped it. */
export class UpdateStopped extends Error {
  override name = 'UpdateStopped'
}

interface Push {
  readonly source: PushSource
  watchdog: ReturnType<typeof setTimeout>
}

/** The updates of a device, one after the other. */
export class Updates {
  readonly #updater: Updater
  readonly #listeners = new Set<() => void>()
  #state: UpdateState | null = null
  #push: Push | null = null
  /** Stops what runs. */
  #abort = new AbortController()
  #ended: Promise<void> = Promise.resolve()

  constructor(updater: Updater) {
    this.#updater = updater
  }

  /** The update that runs or ran last. */
  get state(): UpdateState | null {
    return this.#state
  }

  /** Calls back whenever the state changes, until the returned function is called. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }

  /**
   * Begins an update that a client pushes.
   *
   * @throws UpdateBusy another one runs
   */
  push(documents: ReleaseDocuments): UpdateState {
    const state = this.#begin('push')
    const source = new PushSource()
    this.#push = { source, watchdog: setTimeout(() => {}, 0) }
    this.#heard()
    this.#inBackground((watch) => this.#updater.install(documents, source, watch))
    return state
  }

  /**
   * Begins an update from a medium that is plugged in.
   *
   * @throws UpdateBusy another one runs
   */
  stick(): UpdateState {
    const state = this.#begin('stick')
    this.#inBackground((watch) => this.#updater.installFromStick(watch))
    return state
  }

  /**
   * Runs an update that comes by a channel.
   *
   * @throws UpdateBusy another one runs; UpdateStopped somebody has stopped it; what the installation throws
   */
  async channel(
    documents: ReleaseDocuments,
    source: BlobSource,
    signal: AbortSignal,
  ): Promise<InstalledMessage> {
    this.#begin('channel')
    this.#abort = new AbortController()
    const either = AbortSignal.any([signal, this.#abort.signal])
    return await this.#carryOut((watch) => this.#updater.install(documents, source, watch), either)
  }

  /** Waits for wants with a number above `after`, or for the end of the update, within a bound. */
  async wants(after: number): Promise<WantsAnswer> {
    const push = this.#push
    if (push === null) return { wants: [], update: this.#state as UpdateState }
    this.#heard()
    const stop = new AbortController()
    const timer = setTimeout(() => stop.abort(), POLL_MS)
    void this.#ended.then(() => stop.abort())
    await push.source.waitForWants(after, stop.signal)
    clearTimeout(timer)
    stop.abort()
    const isOver = this.#push !== push
    return { wants: isOver ? [] : push.source.wants(after), update: this.#state as UpdateState }
  }

  /** How long the answer to a want of an update has to be; undefined when it is not open. */
  wantLength(update: number, id: number): number | undefined {
    return this.#pushOf(update)?.source.lengthOf(id)
  }

  /** Takes the answer to a want of an update; false when it is not open. */
  answer(update: number, id: number, bytes: Uint8Array): boolean {
    return this.#pushOf(update)?.source.answer(id, bytes) ?? false
  }

  /** Ends the update that runs, whoever began it. */
  cancel(reason: string): void {
    this.#abort.abort(new UpdateStopped(reason))
  }

  /** The push that runs, if it is of this update: wants of each are numbered from 1 on. */
  #pushOf(update: number): Push | null {
    if (this.#state?.id !== update) return null
    this.#heard()
    return this.#push
  }

  #begin(origin: UpdateOrigin): UpdateState {
    if (this.#state?.state === 'running')
      throw new UpdateBusy(`an update runs (${this.#state.origin}): wait until it has ended`)
    const state: UpdateState = {
      ...{ id: (this.#state?.id ?? 0) + 1, origin, state: 'running', phase: 'verify' },
      ...{ doneBytes: 0, totalBytes: 0, fetchedBytes: 0, release: null, slot: null, failure: null },
    }
    this.#set(state)
    return state
  }

  /** How it ends is in the state, which is what the client asks for. */
  #inBackground(install: (watch: InstallWatch) => Promise<InstalledMessage>): void {
    this.#abort = new AbortController()
    this.#carryOut(install, this.#abort.signal).catch(() => {})
  }

  async #carryOut(
    install: (watch: InstallWatch) => Promise<InstalledMessage>,
    signal: AbortSignal,
  ): Promise<InstalledMessage> {
    const ended = Promise.withResolvers<void>()
    this.#ended = ended.promise
    try {
      const installed = await install({ onProgress: (progress) => this.#changeBy(progress), signal })
      const { slot, version, counter, fetchedBytes } = installed
      this.#change({ state: 'installed', phase: 'done', slot, release: { version, counter }, fetchedBytes })
      return installed
    } catch (error) {
      const reason: unknown = signal.aborted ? signal.reason : error
      const message = reason instanceof Error ? reason.message : String(reason)
      if (reason instanceof UpdateRefused)
        this.#change({ state: 'refused', failure: { code: reason.check, message } })
      else this.#change({ state: 'failed', failure: { code: 'failed', message } })
      throw error
    } finally {
      clearTimeout(this.#push?.watchdog)
      this.#push = null
      ended.resolve()
    }
  }

  #heard(): void {
    const push = this.#push
    if (push === null) return
    clearTimeout(push.watchdog)
    push.watchdog = setTimeout(() => {
      this.cancel(`nothing was heard of the client for ${CLIENT_MS / 1000} s; push again to go on`)
    }, CLIENT_MS)
  }

  #changeBy({ phase, doneBytes, totalBytes, fetchedBytes }: InstallProgress): void {
    this.#change({ phase, doneBytes, totalBytes, fetchedBytes })
  }

  #change(changes: Partial<UpdateState>): void {
    if (this.#state !== null) this.#set({ ...this.#state, ...changes })
  }

  #set(state: UpdateState): void {
    this.#state = state
    for (const listener of this.#listeners) listener()
  }
}
