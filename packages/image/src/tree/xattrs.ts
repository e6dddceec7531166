/** Extended attributes of a node: checked when it is added, in the order of their names. */

/** Values by full name, as `security.capability` or `user.mime_type`. */
export type Xattrs = Readonly<Record<string, Uint8Array>>

/** XATTR_NAME_MAX and XATTR_SIZE_MAX (linux/limits.h). */
const nameBytesMax = 255
const valueBytesMax = 65_536

/**
 * The part of a node that holds `xattrs`, which may be absent or empty.
 *
 * @throws TypeError for a name without a prefix, or a value that is no bytes; RangeError for what is too long
 */
export function completeXattrs(path: string, xattrs: Xattrs | undefined): { readonly xattrs?: Xattrs } {
  const entries = Object.entries(xattrs ?? {})
  for (const [name, value] of entries) {
    const what = `${path}: extended attribute ${JSON.stringify(name)}`
    if (!/^[^.\0]+\.[^\0]+$/.test(name) || !name.isWellFormed()) {
      throw new TypeError(`${what}: a name must be text with a prefix, as user.mime_type`)
    }
    if (new TextEncoder().encode(name).byteLength > nameBytesMax) {
      throw new RangeError(`${what}: a name longer than ${nameBytesMax} bytes`)
    }
    if (!(value instanceof Uint8Array)) throw new TypeError(`${what}: its value must be a Uint8Array`)
    if (value.byteLength > valueBytesMax) {
      throw new RangeError(
        `${what}: a value of ${value.byteLength} bytes, Linux has ${valueBytesMax} at most`,
      )
    }
  }
  if (entries.length === 0) return {}
  const sorted = entries.toSorted(([left], [right]) => (left < right ? -1 : 1))
  return { xattrs: Object.fromEntries(sorted) }
}
