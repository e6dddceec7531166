/** UUIDs as text and as bytes. */

const pattern = /^[\da-f]{8}-[\da-f]{4}-[\da-f]{4}-[\da-f]{4}-[\da-f]{12}$/i

/**
 * The 16 bytes of a UUID in their order in the text.
 *
 * @throws TypeError when `text` is no UUID
 */
export function parseUuid(text: string): Uint8Array {
  if (typeof text !== 'string' || !pattern.test(text)) {
    throw new TypeError(
      `uuid is ${JSON.stringify(text)}, expected 32 hexadecimal digits as 01234567-89ab-cdef-0123-456789abcdef`,
    )
  }
  const digits = text.replaceAll('-', '')
  return Uint8Array.from({ length: 16 }, (_, index) =>
    Number.parseInt(digits.slice(2 * index, 2 * index + 2), 16),
  )
}

/** The text of 16 bytes, in lower case, as `blkid` shows it. */
export function formatUuid(bytes: Uint8Array): string {
  const digits = [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('')
  return digits.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
}
