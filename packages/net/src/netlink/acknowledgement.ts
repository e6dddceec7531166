// NLMSG_ERROR and NLMSG_DONE: how the kernel says yes, no, and why not.
import {
  NLM_F_ACK_TLVS,
  NLM_F_CAPPED,
  NLMSG_DONE,
  NLMSGERR_ATTR_MISS_TYPE,
  NLMSGERR_ATTR_MSG,
} from '@pkg/sys/constants'
import { attributeMap, readText, readU32 } from './attribute.ts'
import { NLMSG_HDRLEN, nlmsgAlign, type NetlinkMessage } from './message.ts'

/** What the kernel answered. */
export interface Acknowledgement {
  /** Positive errno; 0 is success. */
  errno: number
  /** The kernel's own words (`NLMSGERR_ATTR_MSG`); it also warns with them on success. */
  text?: string
}

/**
 * Reads the payload of an `NLMSG_ERROR` or `NLMSG_DONE`.
 *
 * ```c
 * struct nlmsgerr {
 *         int             error;
 *         struct nlmsghdr msg;
 *         // followed by the message contents unless NETLINK_CAP_ACK was set or the ACK indicates success,
 *         // followed by TLVs defined in enum nlmsgerr_attrs if NETLINK_EXT_ACK was set
 * };
 * ```
 *
 * @throws RangeError when the payload is too short
 * @see include/uapi/linux/netlink.h
 */
export function decodeAcknowledgement(message: NetlinkMessage): Acknowledgement {
  const { payload } = message
  // A DONE without a code comes from families that never fail at the end of a dump.
  if (message.type === NLMSG_DONE && payload.length < 4) return { errno: 0 }
  if (payload.length < 4)
    throw new RangeError(`netlink acknowledgement of ${payload.length} bytes: at least 4`)
  const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength)
  const errno = Math.abs(view.getInt32(0, true))
  const words =
    message.flags & NLM_F_ACK_TLVS ? readWords(payload.subarray(attributesOffset(message, view))) : undefined
  return words === undefined ? { errno } : { errno, text: words }
}

function attributesOffset(message: NetlinkMessage, view: DataView): number {
  if (message.type === NLMSG_DONE) return 4
  if (message.flags & NLM_F_CAPPED || view.byteLength < 4 + NLMSG_HDRLEN) return 4 + NLMSG_HDRLEN
  return 4 + nlmsgAlign(view.getUint32(4, true))
}

function readWords(bytes: Uint8Array): string | undefined {
  const attributes = attributeMap(bytes)
  const words = readText(attributes.get(NLMSGERR_ATTR_MSG))
  const missing = readU32(attributes.get(NLMSGERR_ATTR_MISS_TYPE))
  if (words !== undefined) return words
  return missing === undefined ? undefined : `attribute ${missing} is missing`
}
