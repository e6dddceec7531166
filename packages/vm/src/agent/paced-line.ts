/**
 * A line that takes only so much before its reader must have read it. The serial line of User Mode Linux is one: when
 * its terminal's buffer (4 KiB, N_TTY_BUF_SIZE in drivers/tty/n_tty.c) runs full the line is throttled, and in
 * Linux 6.1 never hears from the host again. So no more is under way than fits.
 */

/** What may be under way, in bytes: half of the buffer, as the greeting's own bytes are not counted. */
const LINE_BYTES = 2_048

/** Holds bytes back until those before them have been read. */
export class PacedLine {
  readonly #write: (bytes: Uint8Array) => void
  #queue: Uint8Array[] = []
  #underWayBytes = 0
  #isPacing = false

  /** @param write - puts bytes on the line */
  constructor(write: (bytes: Uint8Array) => void) {
    this.#write = write
  }

  /** The reader has been found: from now on it credits what it has read. */
  begin(): void {
    this.#isPacing = true
    this.#underWayBytes = 0
  }

  /** The reader is gone, and with it what waits for it; whoever calls for another one is not held back. */
  reset(): void {
    this.#isPacing = false
    this.#queue = []
  }

  /** Sends `bytes` now, or when it is their turn. */
  send(bytes: Uint8Array): void {
    if (!this.#isPacing) return this.#write(bytes)
    this.#queue.push(bytes)
    this.#advance()
  }

  /** So many bytes have been read. */
  credit(countBytes: number): void {
    this.#underWayBytes = Math.max(0, this.#underWayBytes - countBytes)
    this.#advance()
  }

  #advance(): void {
    for (let next = this.#queue[0]; next; next = this.#queue[0]) {
      const room = LINE_BYTES - this.#underWayBytes
      if (room <= 0) return
      const part = next.subarray(0, room)
      if (part.length === next.length) this.#queue.shift()
      else this.#queue[0] = next.subarray(room)
      this.#underWayBytes += part.length
      this.#write(part)
    }
  }
}
