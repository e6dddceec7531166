// Memory, of which a device may have 128 MB. JavaScriptCore counts buffers and native objects late, and lets ninety
// megabytes of them pile up while a release passes through (measured: a full load of 110 MB). So what is large is given
// back at once, and for what is small it is told when to look: that leaves 30 MB, for a tenth of the time.

/** So much garbage may lie about. */
const garbageBytesMax = 4 * 1024 * 1024

let garbageBytes = 0

/** Gives the memory below `bytes` back. Whoever still has a view of it sees none. */
export function releaseMemory(bytes: Uint8Array): void {
  if (bytes.buffer instanceof ArrayBuffer && !bytes.buffer.detached) bytes.buffer.transfer(0)
}

/** Notes that so much garbage was made, and has it collected when it is much. */
export function countGarbage(sizeBytes: number): void {
  garbageBytes += sizeBytes
  if (garbageBytes < garbageBytesMax) return
  garbageBytes = 0
  Bun.gc(true)
}
