/** GUIDs of disks and partitions: made by chance or from names, and as bytes. */
import { createHash } from 'node:crypto'
import { formatUuid } from './uuid/uuid.ts'

export { formatGuid, parseGuid } from './gpt/guid.ts'

/** A GUID by chance: version 4 of RFC 9562, from the system's random numbers. */
export function randomGuid(): string {
  return crypto.randomUUID()
}

/**
 * The GUID that belongs to `name`, always the same: version 8 of RFC 9562 from the name's SHA-256, as in the RFC's
 * appendix B.2 but without a name space. For tables that must come out equal from equal inputs.
 *
 * @example
 * ```ts
 * import { namedGuid } from '@pkg/image/guid'
 *
 * console.log(namedGuid('hello/esp') === namedGuid('hello/esp'), namedGuid('hello/esp')[14]) // true 8
 * ```
 */
export function namedGuid(name: string): string {
  const bytes = new Uint8Array(createHash('sha256').update(name, 'utf8').digest().subarray(0, 16))
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x80
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80
  return formatUuid(bytes)
}
