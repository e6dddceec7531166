/**
 * Writes packets into a file that tcpdump and Wireshark read: pcap in its classic form, with times in nanoseconds.
 *
 * @see https://www.ietf.org/archive/id/draft-ietf-opsawg-pcap-03.html
 */
import { closeSync, openSync, writeSync } from 'node:fs'

/** "times are seconds and nanoseconds", in the writer's byte order (section 4). */
const MAGIC_NANOSECONDS = 0xa1b23c4d
const LINKTYPE_ETHERNET = 1
/** What tcpdump takes as "whole packets" (its MAXIMUM_SNAPLEN). */
const SNAPLEN_BYTES = 262_144

/** A capture file that grows. Each packet is with the kernel before the next comes: a crash of ours loses none. */
export class PcapFile implements Disposable {
  readonly #startMs = Date.now() - performance.now()
  #fd: number

  /**
   * Creates the file, or empties it.
   *
   * @throws Error as `open(2)` gives it, with `code` and `path`
   */
  constructor(path: string) {
    this.#fd = openSync(path, 'w', 0o644)
    const header = Buffer.alloc(24)
    header.writeUInt32LE(MAGIC_NANOSECONDS, 0)
    header.writeUInt16LE(2, 4)
    header.writeUInt16LE(4, 6)
    header.writeUInt32LE(SNAPLEN_BYTES, 16)
    header.writeUInt32LE(LINKTYPE_ETHERNET, 20)
    this.#write(header)
  }

  /**
   * Adds a packet that was seen now.
   *
   * @throws Error `ENOSPC` and what else `write(2)` gives
   */
  add(packet: Uint8Array): void {
    // Not Date.now() alone: packets come at less than a millisecond from one another, and a clock that is set back
    // must not turn their order around.
    const timeMs = this.#startMs + performance.now()
    const seconds = Math.floor(timeMs / 1_000)
    const header = Buffer.alloc(16)
    header.writeUInt32LE(seconds, 0)
    header.writeUInt32LE(Math.floor((timeMs - seconds * 1_000) * 1e6), 4)
    header.writeUInt32LE(packet.length, 8)
    header.writeUInt32LE(packet.length, 12)
    this.#write(Buffer.concat([header, packet]))
  }

  /** Closes the file. */
  [Symbol.dispose](): void {
    if (this.#fd < 0) return
    closeSync(this.#fd)
    this.#fd = -1
  }

  #write(bytes: Uint8Array): void {
    for (let done = 0; done < bytes.length;) done += writeSync(this.#fd, bytes, done)
  }
}
