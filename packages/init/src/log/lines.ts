/**
 * Bytes of a stream → lines of a log. A line is bounded, one that is longer is cut into marked pieces at a
 * character's boundary, and control characters are made visible: what a service writes can neither forge
 * another's line nor command the terminal behind the console.
 */

/** Cuts one stream into lines. */
export interface LineSplitter {
  /** Takes the next bytes and returns the lines that they complete. */
  push(chunk: Uint8Array): string[]
  /** At the end of the stream: the last line, if its newline is missing. */
  flush(): string[]
}

/** Marks the end of a piece that goes on, and the beginning of the piece that continues it. */
export const CUT_MARK = '…'

const NEWLINE = 0x0a
const decoder = new TextDecoder()

/**
 * Makes a splitter.
 *
 * @param lengthMaxBytes - longest line, and most bytes that are kept while a newline is awaited; at least 4,
 *   the length of the longest UTF-8 character
 */
export function lineSplitter(lengthMaxBytes: number): LineSplitter {
  const pending = new Uint8Array(new ArrayBuffer(lengthMaxBytes))
  let sizeBytes = 0
  let continued = false

  function take(endBytes: number, goesOn: boolean): string {
    const text = visible(decoder.decode(pending.subarray(0, endBytes)))
    const line = `${continued ? CUT_MARK : ''}${text}${goesOn ? CUT_MARK : ''}`
    continued = goesOn
    pending.copyWithin(0, endBytes, sizeBytes)
    sizeBytes -= endBytes
    return line
  }

  return {
    push(chunk) {
      const lines: string[] = []
      let offset = 0
      while (offset < chunk.length) {
        const newline = chunk.indexOf(NEWLINE, offset)
        const end = newline === -1 ? chunk.length : newline
        const part = chunk.subarray(offset, Math.min(end, offset + lengthMaxBytes - sizeBytes))
        pending.set(part, sizeBytes)
        sizeBytes += part.length
        offset += part.length
        if (offset === newline) {
          lines.push(take(sizeBytes, false))
          offset += 1
        } else if (sizeBytes === lengthMaxBytes) {
          lines.push(take(characterBoundary(pending), true))
        }
      }
      return lines
    },
    flush: () => (sizeBytes > 0 || continued ? [take(sizeBytes, false)] : []),
  }
}

/** The end of the last whole UTF-8 character; the whole length when the bytes are not UTF-8. */
function characterBoundary(bytes: Uint8Array): number {
  // A character has at most three continuation bytes (10xxxxxx), RFC 3629 section 3.
  for (let back = 1; back <= Math.min(4, bytes.length - 1); back++) {
    const byte = bytes[bytes.length - back] ?? 0
    if ((byte & 0xc0) === 0x80) continue
    const lengthBytes = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1
    return lengthBytes > back ? bytes.length - back : bytes.length
  }
  return bytes.length
}

/** C0 (but tab), DEL and C1 controls as `\x1b`; a carriage return before the newline is dropped. */
function visible(text: string): string {
  // oxlint-disable-next-line no-control-regex -- control characters are what this is about
  return text.replace(/\r$/, '').replace(/[\x00-\x08\x0a-\x1f\x7f-\x9f]/g, (character) => {
    return `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`
  })
}
