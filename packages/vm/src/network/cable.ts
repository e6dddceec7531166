/** One direction of a cable: it may lose frames, hold them for a while, and never holds more than its bound. */
import type { Random } from '../faults/random.ts'

/** What is wrong with a cable. */
export interface CableFaults {
  /** Share of the frames that are lost in each direction, from 0 to 1. Default 0. */
  lossRatio?: number
  /** How long each frame is on its way in each direction, in milliseconds (a whole number is as fine as timers go). Default 0. */
  delayMs?: number
}

/** A frame under way. */
interface Travelling {
  frame: Uint8Array
  dueMs: number
}

/** What became of a frame. */
export type Fate = 'carried' | 'lost' | 'overflow'

/** Options of {@link Cable}. */
export interface CableOptions {
  /** The faults in force at each moment. */
  faults: () => Required<CableFaults>
  /** Chance. */
  random: Random
  /** How many bytes may be under way at once. */
  limitBytes: number
  /** Takes a frame at the other end. */
  deliver: (frame: Uint8Array) => void
}

/** Frames keep their order, whatever the delay is changed to meanwhile. */
export class Cable {
  readonly #options: CableOptions
  readonly #travelling: Travelling[] = []
  #travellingBytes = 0
  #timer: NodeJS.Timeout | undefined

  constructor(options: CableOptions) {
    this.#options = options
  }

  /** Puts a frame in at this end. */
  carry(frame: Uint8Array): Fate {
    const { faults, random, limitBytes, deliver } = this.#options
    const { lossRatio, delayMs } = faults()
    if (lossRatio > 0 && random() < lossRatio) return 'lost'
    if (delayMs === 0 && this.#travelling.length === 0) {
      deliver(frame)
      return 'carried'
    }
    if (this.#travellingBytes + frame.length > limitBytes) return 'overflow'
    this.#travelling.push({ frame, dueMs: performance.now() + delayMs })
    this.#travellingBytes += frame.length
    this.#timer ??= setTimeout(this.#arrive, delayMs)
    return 'carried'
  }

  /** Whatever is under way is lost. */
  cut(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#travelling.length = 0
    this.#travellingBytes = 0
  }

  readonly #arrive = (): void => {
    this.#timer = undefined
    for (let head = this.#travelling[0]; head !== undefined; head = this.#travelling[0]) {
      const leftMs = head.dueMs - performance.now()
      if (leftMs > 0) {
        this.#timer = setTimeout(this.#arrive, leftMs)
        return
      }
      this.#travelling.shift()
      this.#travellingBytes -= head.frame.length
      this.#options.deliver(head.frame)
    }
  }
}
