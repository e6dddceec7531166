// struct nlmsghdr and what follows it: the frame of every netlink message.
// Netlink is host-endian; both architectures of this project are little-endian.

/** Size of `struct nlmsghdr`, already aligned: `NLMSG_HDRLEN ((int) NLMSG_ALIGN(sizeof(struct nlmsghdr)))`. */
export const NLMSG_HDRLEN = 16

/** One netlink message, its header's fields by meaning. */
export interface NetlinkMessage {
  /** `nlmsg_type`: `RTM_NEWLINK`, `NLMSG_DONE`, … */
  type: number
  /** `nlmsg_flags`: `NLM_F_REQUEST | …` */
  flags: number
  /** `nlmsg_seq`: the reply carries the request's number; an event carries 0 or the number of its cause. */
  sequence: number
  /** `nlmsg_pid`: the port id of the sender's or, in a reply, the receiver's socket; 0 is the kernel. */
  portId: number
  /** What follows the header: a family's struct and attributes. */
  payload: Uint8Array
}

/**
 * Rounds a length up to netlink's alignment of four bytes.
 *
 * ```c
 * #define NLMSG_ALIGNTO   4U
 * #define NLMSG_ALIGN(len) ( ((len)+NLMSG_ALIGNTO-1) & ~(NLMSG_ALIGNTO-1) )
 * ```
 *
 * @see include/uapi/linux/netlink.h
 */
export function nlmsgAlign(length: number): number {
  return (length + 3) & ~3
}

/**
 * Writes one message: header, payload, padding to four bytes. `nlmsg_len` does not count the padding.
 *
 * ```c
 * struct nlmsghdr { __u32 nlmsg_len; __u16 nlmsg_type; __u16 nlmsg_flags; __u32 nlmsg_seq; __u32 nlmsg_pid; };
 * #define NLMSG_LENGTH(len) ((len) + NLMSG_HDRLEN)
 * #define NLMSG_SPACE(len) NLMSG_ALIGN(NLMSG_LENGTH(len))
 * ```
 *
 * @see include/uapi/linux/netlink.h
 */
export function encodeMessage(message: NetlinkMessage): Uint8Array<ArrayBuffer> {
  const length = NLMSG_HDRLEN + message.payload.length
  const bytes = new Uint8Array(nlmsgAlign(length))
  const view = new DataView(bytes.buffer)
  view.setUint32(0, length, true)
  view.setUint16(4, message.type, true)
  view.setUint16(6, message.flags, true)
  view.setUint32(8, message.sequence, true)
  view.setUint32(12, message.portId, true)
  bytes.set(message.payload, NLMSG_HDRLEN)
  return bytes
}

/**
 * Splits what one receive call returned into its messages. The payloads are views into `bytes`.
 *
 * ```c
 * #define NLMSG_OK(nlh,len) ((len) >= (int)sizeof(struct nlmsghdr) && \
 *                            (nlh)->nlmsg_len >= sizeof(struct nlmsghdr) && \
 *                            (nlh)->nlmsg_len <= (len))
 * #define NLMSG_NEXT(nlh,len) ((len) -= NLMSG_ALIGN((nlh)->nlmsg_len), …)
 * ```
 *
 * @throws RangeError where NLMSG_OK would be false before the end: the datagram was cut or is not netlink
 * @see include/uapi/linux/netlink.h
 */
export function decodeMessages(bytes: Uint8Array): NetlinkMessage[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const messages: NetlinkMessage[] = []
  let offset = 0
  while (offset < bytes.length) {
    const left = bytes.length - offset
    const length = left >= NLMSG_HDRLEN ? view.getUint32(offset, true) : 0
    if (length < NLMSG_HDRLEN || length > left) {
      throw new RangeError(
        `netlink message at byte ${offset}: length ${length} does not fit the ${left} bytes left`,
      )
    }
    messages.push({
      type: view.getUint16(offset + 4, true),
      flags: view.getUint16(offset + 6, true),
      sequence: view.getUint32(offset + 8, true),
      portId: view.getUint32(offset + 12, true),
      payload: bytes.subarray(offset + NLMSG_HDRLEN, offset + length),
    })
    offset += nlmsgAlign(length)
  }
  return messages
}
