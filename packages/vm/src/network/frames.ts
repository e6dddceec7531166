/**
 * Ethernet frames on a byte stream, as QEMU's `-netdev socket` and `-netdev stream` carry them: each frame after its
 * length in four bytes, most significant first.
 *
 * @see https://gitlab.com/qemu-project/qemu/-/blob/v7.2.0/net/net.c (net_fill_rstate)
 */

/** The largest frame QEMU sends or takes: NET_BUFSIZE of QEMU's include/net/net.h. */
export const FRAME_BYTES_MAX: number = 4_096 + 65_536

/** Two addresses and a type: what is shorter is no Ethernet frame (IEEE 802.3, 3.1.1). */
export const FRAME_BYTES_MIN = 14

const LENGTH_BYTES = 4

/** What came over a port's stream is not frames. */
export class NetworkStreamError extends Error {
  override name = 'NetworkStreamError'
}

/** Cuts a byte stream, in whatever pieces it comes, into frames. */
export class FrameDecoder {
  #rest: Uint8Array = new Uint8Array(0)

  /**
   * The frames that `chunk` completes. They are views: of `chunk` where a frame lies within it.
   *
   * @throws NetworkStreamError a length that no frame has; the stream is of no more use
   */
  push(chunk: Uint8Array): Uint8Array[] {
    const frames: Uint8Array[] = []
    let bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk])
    while (bytes.length >= LENGTH_BYTES) {
      const length = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0)
      if (length > FRAME_BYTES_MAX)
        throw new NetworkStreamError(
          `a frame of ${length} bytes was announced; ${FRAME_BYTES_MAX} is the most`,
        )
      const end = LENGTH_BYTES + length
      if (bytes.length < end) break
      frames.push(bytes.subarray(LENGTH_BYTES, end))
      bytes = bytes.subarray(end)
    }
    this.#rest = bytes
    return frames
  }
}

/** A frame with its length before it. */
export function encodeFrame(frame: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(LENGTH_BYTES + frame.length)
  new DataView(bytes.buffer).setUint32(0, frame.length)
  bytes.set(frame, LENGTH_BYTES)
  return bytes
}
