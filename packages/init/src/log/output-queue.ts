/**
 * What waits to be written to a slow console: a bounded queue of lines. When it is full the newest line is
 * dropped and counted, and the count is written as soon as there is room; PID 1 never waits for a console.
 */

/** Writes some of the bytes and returns how many; 0 when the console takes nothing now. */
export type WriteSome = (bytes: Uint8Array) => number

/** A bounded queue before one console. */
export interface OutputQueue {
  /** Adds a line (its newline is added here). */
  push(line: string): void
  /** Writes as much as the console takes; true when nothing is left. */
  drain(write: WriteSome): boolean
  /** Whether something waits. */
  readonly waiting: boolean
}

const encoder = new TextEncoder()

/**
 * Makes a queue.
 *
 * @param sizeMaxBytes - the most that may wait
 * @param droppedLine - the text of the line that says how many were dropped
 */
export function outputQueue(sizeMaxBytes: number, droppedLine: (count: number) => string): OutputQueue {
  const chunks: Uint8Array[] = []
  let sizeBytes = 0
  let dropped = 0

  function add(line: string): void {
    const bytes = encoder.encode(`${line}\n`)
    chunks.push(bytes)
    sizeBytes += bytes.length
  }

  function writeFirst(write: WriteSome, chunk: Uint8Array): boolean {
    const written = write(chunk)
    sizeBytes -= written
    if (written === chunk.length) chunks.shift()
    else chunks[0] = chunk.subarray(written)
    return written === chunk.length
  }

  return {
    push(line) {
      if (dropped > 0 && sizeBytes < sizeMaxBytes / 2) {
        add(droppedLine(dropped))
        dropped = 0
      }
      if (dropped > 0 || sizeBytes + line.length + 1 > sizeMaxBytes) dropped += 1
      else add(line)
    },
    drain(write) {
      for (let chunk = chunks[0]; chunk !== undefined; chunk = chunks[0]) {
        if (!writeFirst(write, chunk)) return false
        if (chunks.length === 0 && dropped > 0) {
          add(droppedLine(dropped))
          dropped = 0
        }
      }
      return true
    },
    get waiting() {
      return chunks.length > 0
    },
  }
}
