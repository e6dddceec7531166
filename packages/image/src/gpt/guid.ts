/** GUIDs as GPT stores them: the first three fields little-endian, the rest as it is written (UEFI 2.10, appendix A). */
import { formatUuid, parseUuid } from '../uuid/uuid.ts'

/** Where in the text's order each stored byte lies. Swapping twice gives the first order back. */
const storedOrder = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15]

/**
 * The 16 bytes of a GUID as they lie on a disk.
 *
 * @throws TypeError when `text` is no GUID
 *
 * @example
 * ```ts
 * import { parseGuid } from '@pkg/image/guid'
 *
 * const bytes = parseGuid('c12a7328-f81f-11d2-ba4b-00a0c93ec93b')
 * console.log(Buffer.from(bytes).toString('hex')) // 28732ac11ff8d211ba4b00a0c93ec93b
 * ```
 */
export function parseGuid(text: string): Uint8Array {
  const bytes = parseUuid(text)
  return Uint8Array.from(storedOrder, (index) => bytes[index] ?? 0)
}

/**
 * The text, in lower case, of 16 bytes as they lie on a disk.
 *
 * @throws RangeError when there are not 16
 */
export function formatGuid(bytes: Uint8Array): string {
  if (bytes.byteLength !== 16) throw new RangeError(`a GUID has 16 bytes, not ${bytes.byteLength}`)
  return formatUuid(Uint8Array.from(storedOrder, (index) => bytes[index] ?? 0))
}

/** All zeros: the type of an entry that is not used. */
export const unusedGuid = '00000000-0000-0000-0000-000000000000'
