// Pushing a release: the documents first, then whatever the device asks for, until it has it or says no.
import type { ReleaseDocuments } from '@pkg/update/release'
import type { BlobSource } from '@pkg/update/source'
import type { UpdateState, Want, WantsAnswer } from '../agent/bodies.ts'
import { SoloError } from '../error.ts'
import { DeviceAway, type DeviceClient, DeviceRefused } from './client.ts'

/** A device that has lost the connection is asked again for so long; it waits as long for its client. */
const AWAY_MS = 25_000

/** Time between two tries. */
const RETRY_MS = 500

/** Answers at a time: the connection is used while the device writes. */
const ANSWERS_MAX = 6

/** A release to push. */
export interface PushedRelease {
  readonly documents: ReleaseDocuments
  readonly source: BlobSource
}

/** An agent that is started again knows nothing of the update, which goes on where it stopped when it is pushed again. */
const TRIES = 5

/**
 * Pushes a release.
 *
 * @returns how it ended, `installed`
 * @throws DeviceRefused with the check that was not passed; SoloError for anything else
 */
export async function pushRelease(
  device: DeviceClient,
  release: PushedRelease,
  onProgress: (state: UpdateState) => void,
): Promise<UpdateState> {
  for (let tries = 1; ; tries++) {
    try {
      return await pushOnce(device, release, onProgress)
    } catch (error) {
      // The updater may not have noticed yet that the agent before is gone.
      const isBusy = error instanceof DeviceRefused && error.code === 'busy' && tries > 1
      const isForgotten = error instanceof DeviceRefused && error.code === 'not-found'
      if (!(isForgotten || isBusy) || tries === TRIES) throw error
      await Bun.sleep(RETRY_MS)
    }
  }
}

async function pushOnce(
  device: DeviceClient,
  { documents, source }: PushedRelease,
  onProgress: (state: UpdateState) => void,
): Promise<UpdateState> {
  const { id } = await device.beginUpdate(documents)
  const push = new Push(device, id, source)
  try {
    return installed(device, await push.run(onProgress))
  } catch (error) {
    // It would wait for us; when it has ended by itself there is nothing to stop.
    await device.cancelUpdate(id).catch(() => {})
    throw error
  }
}

/**
 * Has a release installed that is on a medium in the device, and waits for it.
 *
 * @throws as {@link pushRelease}
 */
export async function installFromStick(
  device: DeviceClient,
  onProgress: (state: UpdateState) => void,
): Promise<UpdateState> {
  let state = await device.beginUpdateFromStick()
  while (state.state === 'running') {
    onProgress(state)
    await Bun.sleep(RETRY_MS)
    state = await device.update(state.id)
  }
  return installed(device, state)
}

function installed(device: DeviceClient, state: UpdateState): UpdateState {
  if (state.state === 'installed') return state
  throw new DeviceRefused(device.name, state.failure ?? { code: 'failed', message: 'the update failed' })
}

class Push {
  readonly #device: DeviceClient
  readonly #id: number
  readonly #source: BlobSource
  readonly #answering = new Map<number, Promise<void>>()
  /** An answer was lost on its way: its want is still open, and has to be asked for again. */
  #isOneLost = false
  /** The first answer that could not be given. */
  #failure: { readonly error: unknown } | null = null

  constructor(device: DeviceClient, id: number, source: BlobSource) {
    this.#device = device
    this.#id = id
    this.#source = source
  }

  async run(onProgress: (state: UpdateState) => void): Promise<UpdateState> {
    let after = 0
    for (;;) {
      const { wants, update } = await this.#wants(after)
      onProgress(update)
      if (update.state !== 'running') return update
      for (const want of wants) {
        after = Math.max(after, want.id)
        if (this.#answering.has(want.id)) continue
        while (this.#answering.size >= ANSWERS_MAX) await Promise.race(this.#answering.values())
        this.#begin(want)
      }
      if (this.#failure !== null) throw this.#failure.error
    }
  }

  /** After an interruption all open wants are asked for again: their answers may be lost. */
  async #wants(after: number): Promise<WantsAnswer> {
    const untilMs = performance.now() + AWAY_MS
    for (;;) {
      const from = this.#isOneLost ? 0 : after
      this.#isOneLost = false
      try {
        return await this.#device.wants(this.#id, from)
      } catch (error) {
        this.#isOneLost = true
        if (!(error instanceof DeviceAway) || performance.now() > untilMs) throw error
        await Bun.sleep(RETRY_MS)
      }
    }
  }

  #begin(want: Want): void {
    const answer = this.#answer(want)
      .catch((error: unknown) => {
        if (error instanceof DeviceAway) this.#isOneLost = true
        // A device that no longer waits for it has it already, or says why in its state.
        else if (!(error instanceof DeviceRefused && error.code === 'conflict')) this.#failure ??= { error }
      })
      .finally(() => this.#answering.delete(want.id))
    this.#answering.set(want.id, answer)
  }

  async #answer({ id, digest, offset, length }: Want): Promise<void> {
    const bytes = new Uint8Array(length)
    let filled = 0
    for await (const chunk of this.#source.open(digest, offset, length)) {
      if (filled + chunk.length > length) break
      bytes.set(chunk, filled)
      filled += chunk.length
    }
    if (filled !== length) {
      throw new SoloError(
        `the release is not whole: ${digest} has ${filled} of ${length} bytes from ${offset} on`,
      )
    }
    await this.#give(id, bytes)
  }

  /** Again when it was lost on its way: until the device asks for it anew, a poll may have to end. */
  async #give(id: number, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    const untilMs = performance.now() + AWAY_MS
    for (;;) {
      try {
        return await this.#device.answerWant(this.#id, id, bytes)
      } catch (error) {
        if (!(error instanceof DeviceAway) || performance.now() > untilMs) throw error
        await Bun.sleep(RETRY_MS)
      }
    }
  }
}
