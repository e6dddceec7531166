/** A port of the switch: a stream of frames to one guest, and the cable to it. */
import type { Duplex } from 'node:stream'
import type { Random } from '../faults/random.ts'
import { Cable, type CableFaults, type Fate } from './cable.ts'
import { encodeFrame, FrameDecoder, FRAME_BYTES_MIN } from './frames.ts'

/** How many frames went through a port, and how many did not, since it was connected. */
export interface PortCounters {
  /** Frames from the guest that reached the switch. */
  receivedFrames: number
  /** Frames that were given to the guest. */
  sentFrames: number
  /** Frames lost by an unplugged cable or by its `lossRatio`, in both directions. */
  lostFrames: number
  /** Frames dropped because the guest does not read, or because too many were under way. */
  overflowFrames: number
}

/** One guest's place in a private network. */
export interface NetworkPort extends Disposable {
  /** What it was called when it was connected. */
  readonly name: string
  /** Whether the cable is in. The guest's card does not see the difference: for that, use QMP's `set_link`. */
  readonly plugged: boolean
  /** What went through. A snapshot: read it again for later figures. */
  readonly counters: PortCounters
  /** Resolves when the port is gone (the guest ended, or the port was disposed of), with the error if there was one. */
  readonly closed: Promise<Error | undefined>
  /** Pulls the cable out: frames of both directions are lost, those under way too. */
  unplug(): void
  /** Puts the cable back in. */
  plug(): void
  /**
   * Replaces the faults of the cable; what is left out is well again.
   *
   * @throws RangeError a ratio outside 0 to 1, a delay that is no time
   */
  setFaults(faults: CableFaults): void
  /** Takes the port out of the network and destroys its stream. */
  [Symbol.dispose](): void
}

/** What a port needs of its switch. */
export interface PortOptions {
  name: string
  stream: Duplex
  random: Random
  queueLimitBytes: number
  /** A frame of the guest's has come through the cable. */
  onFrame: (frame: Uint8Array) => void
  /** The port is gone, or its guest may be behind another port from now on. */
  onForget: (gone: boolean) => void
}

/** {@link NetworkPort} as the switch sees it. */
export class SwitchPort implements NetworkPort {
  readonly name: string
  readonly closed: Promise<Error | undefined>
  readonly #options: PortOptions
  readonly #toGuest: Cable
  readonly #fromGuest: Cable
  readonly #decoder = new FrameDecoder()
  readonly #counters: PortCounters = { receivedFrames: 0, sentFrames: 0, lostFrames: 0, overflowFrames: 0 }
  #faults: Required<CableFaults> = { lossRatio: 0, delayMs: 0 }
  #plugged = true
  #gone = false
  #tellClosed: (error: Error | undefined) => void = () => {}

  constructor(options: PortOptions) {
    this.#options = options
    this.name = options.name
    this.closed = new Promise((resolve) => {
      this.#tellClosed = resolve
    })
    const { random, stream, queueLimitBytes: limitBytes } = options
    const faults = (): Required<CableFaults> => this.#faults
    this.#toGuest = new Cable({ faults, random, limitBytes, deliver: (frame) => this.#give(frame) })
    this.#fromGuest = new Cable({ faults, random, limitBytes, deliver: (frame) => this.#take(frame) })
    stream.on('data', (chunk: Uint8Array) => this.#receive(chunk))
    stream.on('error', (error) => this.#close(error))
    for (const event of ['end', 'close']) stream.on(event, () => this.#close())
  }

  get plugged(): boolean {
    return this.#plugged
  }

  get counters(): PortCounters {
    return { ...this.#counters }
  }

  /** Sends a frame towards the guest. */
  send(frame: Uint8Array): void {
    if (this.#plugged) this.#count(this.#toGuest.carry(frame))
    else this.#counters.lostFrames += 1
  }

  unplug(): void {
    this.#plugged = false
    this.#toGuest.cut()
    this.#fromGuest.cut()
    this.#options.onForget(false)
  }

  plug(): void {
    this.#plugged = true
  }

  setFaults(faults: CableFaults): void {
    const { lossRatio = 0, delayMs = 0 } = faults
    if (!(lossRatio >= 0 && lossRatio <= 1))
      throw new RangeError(`lossRatio: ${String(lossRatio)} is not a number from 0 to 1`)
    // setTimeout takes no more than 2^31 - 1 ms and fires at once beyond it.
    if (!(delayMs >= 0 && delayMs < 2 ** 31))
      throw new RangeError(`delayMs: ${String(delayMs)} is not a time in milliseconds`)
    this.#faults = { lossRatio, delayMs }
  }

  [Symbol.dispose](): void {
    this.#close()
  }

  #receive(chunk: Uint8Array): void {
    if (this.#gone) return
    try {
      for (const frame of this.#decoder.push(chunk)) {
        if (!this.#plugged || frame.length < FRAME_BYTES_MIN) this.#counters.lostFrames += 1
        else this.#count(this.#fromGuest.carry(frame))
      }
    } catch (error) {
      this.#close(error as Error)
    }
  }

  #take(frame: Uint8Array): void {
    this.#counters.receivedFrames += 1
    this.#options.onFrame(frame)
  }

  #give(frame: Uint8Array): void {
    const { stream, queueLimitBytes } = this.#options
    if (this.#gone || stream.destroyed) return
    // A guest that does not read (paused, hung) must not fill our memory: as on a real wire, its frames are dropped.
    if (stream.writableLength + frame.length > queueLimitBytes) {
      this.#counters.overflowFrames += 1
      return
    }
    this.#counters.sentFrames += 1
    stream.write(encodeFrame(frame))
  }

  #count(fate: Fate): void {
    if (fate === 'lost') this.#counters.lostFrames += 1
    if (fate === 'overflow') this.#counters.overflowFrames += 1
  }

  #close(error?: Error): void {
    if (this.#gone) return
    this.#gone = true
    this.#toGuest.cut()
    this.#fromGuest.cut()
    this.#options.onForget(true)
    this.#options.stream.destroy()
    this.#tellClosed(error)
  }
}
