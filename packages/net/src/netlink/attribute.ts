// struct nlattr: type-length-value, nested at will. The kernel skips what it does not know, and so does this.

/** Size of `struct nlattr`: `NLA_HDRLEN ((int) NLA_ALIGN(sizeof(struct nlattr)))`. */
export const NLA_HDRLEN = 4
const NLA_F_NESTED = 1 << 15
/** `#define NLA_TYPE_MASK ~(NLA_F_NESTED | NLA_F_NET_BYTEORDER)` */
const NLA_TYPE_MASK = 0x3fff
/** `nla_len` is a __u16 and counts the header. */
const VALUE_SIZE_MAX = 0xffff - NLA_HDRLEN

/** One attribute to write: its type and value; a list as value makes a nested attribute. */
export type AttributeInput = readonly [type: number, value: Uint8Array | readonly AttributeInput[]]

/** One attribute that was read. */
export interface Attribute {
  /** The type without the flags `NLA_F_NESTED` and `NLA_F_NET_BYTEORDER`. */
  type: number
  /** A view into the message, without padding. */
  value: Uint8Array
}

/**
 * Rounds an attribute's length up to four bytes.
 *
 * ```c
 * #define NLA_ALIGNTO    4
 * #define NLA_ALIGN(len) (((len) + NLA_ALIGNTO - 1) & ~(NLA_ALIGNTO - 1))
 * ```
 *
 * @see include/uapi/linux/netlink.h
 */
export function nlaAlign(length: number): number {
  return (length + 3) & ~3
}

/**
 * Writes attributes one after the other, each padded to four bytes with zeros.
 *
 * ```c
 * // <------- NLA_HDRLEN ------> <-- NLA_ALIGN(payload)-->
 * // +---------------------+- - -+- - - - - - - - - -+- - -+
 * // |        Header       | Pad |     Payload       | Pad |
 * // |   (struct nlattr)   | ing |                   | ing |
 * // +---------------------+- - -+- - - - - - - - - -+- - -+
 * //  <-------------- nlattr->nla_len -------------->
 * ```
 *
 * @throws RangeError when a value is longer than the 16-bit length can say (65,531 bytes)
 * @see include/uapi/linux/netlink.h
 */
export function encodeAttributes(attributes: readonly AttributeInput[]): Uint8Array<ArrayBuffer> {
  const parts = attributes.map(([type, value]) =>
    value instanceof Uint8Array
      ? { type, value }
      : { type: type | NLA_F_NESTED, value: encodeAttributes(value) },
  )
  const sizeBytes = parts.reduce((sum, part) => sum + nlaAlign(NLA_HDRLEN + part.value.length), 0)
  const bytes = new Uint8Array(sizeBytes)
  const view = new DataView(bytes.buffer)
  let offset = 0
  for (const { type, value } of parts) {
    if (value.length > VALUE_SIZE_MAX) {
      throw new RangeError(
        `netlink attribute ${type & NLA_TYPE_MASK}: ${value.length} bytes, at most ${VALUE_SIZE_MAX} fit`,
      )
    }
    view.setUint16(offset, NLA_HDRLEN + value.length, true)
    view.setUint16(offset + 2, type, true)
    bytes.set(value, offset + NLA_HDRLEN)
    offset += nlaAlign(NLA_HDRLEN + value.length)
  }
  return bytes
}

/**
 * Reads attributes in order; the values are views into `bytes`. Up to three bytes of padding at the end are skipped.
 *
 * @throws RangeError when a length does not fit
 * @see include/net/netlink.h nla_ok()
 */
export function decodeAttributes(bytes: Uint8Array): Attribute[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const attributes: Attribute[] = []
  let offset = 0
  while (bytes.length - offset >= NLA_HDRLEN) {
    const length = view.getUint16(offset, true)
    if (length < NLA_HDRLEN || length > bytes.length - offset) {
      throw new RangeError(
        `netlink attribute at byte ${offset}: length ${length} does not fit the ${bytes.length - offset} bytes left`,
      )
    }
    attributes.push({
      type: view.getUint16(offset + 2, true) & NLA_TYPE_MASK,
      value: bytes.subarray(offset + NLA_HDRLEN, offset + length),
    })
    offset += nlaAlign(length)
  }
  return attributes
}

/** Reads attributes into a map by type; of two with one type the last counts, as in the kernel's `nla_parse`. */
export function attributeMap(bytes: Uint8Array): Map<number, Uint8Array> {
  return new Map(decodeAttributes(bytes).map(({ type, value }) => [type, value]))
}

/** The value of an `NLA_U8` attribute. @throws RangeError when `value` is not 0–255 */
export function u8(value: number): Uint8Array {
  return integer(value, 1)
}

/** The value of an `NLA_U32` attribute, host-endian. @throws RangeError when `value` is not an unsigned 32-bit integer */
export function u32(value: number): Uint8Array {
  return integer(value, 4)
}

/**
 * The value of an `NLA_NUL_STRING` attribute: UTF-8 and a NUL.
 *
 * @throws TypeError when the text itself has a NUL, where the kernel would cut it
 */
export function text(value: string): Uint8Array {
  if (value.includes('\0')) throw new TypeError('netlink text must not contain a NUL character')
  return new TextEncoder().encode(`${value}\0`)
}

/** Reads an `NLA_U8`; undefined when the attribute is absent or too short. */
export function readU8(value: Uint8Array | undefined): number | undefined {
  return value?.[0]
}

/** Reads an `NLA_U32`; undefined when the attribute is absent or too short. */
export function readU32(value: Uint8Array | undefined): number | undefined {
  if (value === undefined || value.length < 4) return undefined
  return new DataView(value.buffer, value.byteOffset, 4).getUint32(0, true)
}

/** Reads a string up to its NUL; undefined when the attribute is absent. */
export function readText(value: Uint8Array | undefined): string | undefined {
  if (value === undefined) return undefined
  const end = value.indexOf(0)
  return new TextDecoder().decode(end === -1 ? value : value.subarray(0, end))
}

function integer(value: number, sizeBytes: 1 | 4): Uint8Array {
  if (!Number.isInteger(value) || value < 0 || value >= 2 ** (sizeBytes * 8)) {
    throw new RangeError(`${value} is not an unsigned integer of ${sizeBytes * 8} bits`)
  }
  const bytes = new Uint8Array(4)
  new DataView(bytes.buffer).setUint32(0, value, true)
  return bytes.subarray(0, sizeBytes)
}
