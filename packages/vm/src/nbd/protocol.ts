/**
 * The words of the Network Block Device protocol that this server speaks: fixed newstyle negotiation, simple replies.
 * Names and numbers are the specification's.
 *
 * @see https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md
 */

/** `NBDMAGIC`, the first thing a server says. */
export const NBDMAGIC = 0x4e42444d41474943n
/** `IHAVEOPT`, before the handshake flags and before each option of the client's. */
export const IHAVEOPT = 0x49484156454f5054n
/** Begins the reply to an option. */
export const OPTION_REPLY_MAGIC = 0x3e889045565a9n
/** Begins a request. */
export const REQUEST_MAGIC = 0x25609513
/** Begins a simple reply. */
export const SIMPLE_REPLY_MAGIC = 0x67446698

/** Handshake flags; the client's flags have the same bits. */
export const HandshakeFlag = { FIXED_NEWSTYLE: 1, NO_ZEROES: 2 } as const

/** What the export can do. */
export const TransmissionFlag = {
  HAS_FLAGS: 1,
  READ_ONLY: 2,
  SEND_FLUSH: 4,
  SEND_FUA: 8,
  SEND_TRIM: 32,
  SEND_WRITE_ZEROES: 64,
  CAN_MULTI_CONN: 256,
} as const

/** Options of the negotiation. */
export const Option = { EXPORT_NAME: 1, ABORT: 2, LIST: 3, INFO: 6, GO: 7 } as const

/** Replies to options. */
export const OptionReply = {
  ACK: 1,
  SERVER: 2,
  INFO: 3,
  ERR_UNSUP: 0x8000_0001,
  ERR_INVALID: 0x8000_0003,
  ERR_UNKNOWN: 0x8000_0006,
} as const

/** Kinds of information in an `INFO` reply. */
export const Info = { EXPORT: 0, BLOCK_SIZE: 3 } as const

/** Commands. */
export const Command = { READ: 0, WRITE: 1, DISC: 2, FLUSH: 3, TRIM: 4, WRITE_ZEROES: 6 } as const

/** Flags of a command: force unit access, and "write real zeroes" (which ours are, as far as anybody can see). */
export const CommandFlag = { FUA: 1, NO_HOLE: 2 } as const

/** Errors of replies; the numbers are Linux's. */
export const ReplyError = { EPERM: 1, EIO: 5, ENOMEM: 12, EINVAL: 22, ENOSPC: 28, EOVERFLOW: 75 } as const

/** The name of an error that a reply can carry. */
export type ReplyErrorName = keyof typeof ReplyError

/** The most that a read or a write may carry: what clients take as the bound unless told otherwise. */
export const PAYLOAD_BYTES_MAX: number = 32 << 20

/** The longest option data that is read: a name has at most 4,096 bytes. */
export const OPTION_BYTES_MAX: number = 64 << 10

/** Bytes of a request's header. */
export const REQUEST_BYTES = 28

/** A request, without its payload. */
export interface RequestHeader {
  flags: number
  command: number
  /** The client's name for the request. */
  cookie: bigint
  /** In bytes. */
  offset: bigint
  /** In bytes. */
  length: number
}

/** The client did not speak NBD, or broke a rule that leaves no way on. Its connection is closed. */
export class NbdProtocolError extends Error {
  override name = 'NbdProtocolError'
}

/**
 * Reads the header of a request.
 *
 * @throws NbdProtocolError these bytes begin no request
 */
export function parseRequest(bytes: Buffer): RequestHeader {
  if (bytes.readUInt32BE(0) !== REQUEST_MAGIC) throw new NbdProtocolError('a request without its magic')
  return {
    flags: bytes.readUInt16BE(4),
    command: bytes.readUInt16BE(6),
    cookie: bytes.readBigUInt64BE(8),
    offset: bytes.readBigUInt64BE(16),
    length: bytes.readUInt32BE(24),
  }
}

/** A simple reply; the data of a successful read follows it. */
export function simpleReply(cookie: bigint, error: number): Buffer {
  const bytes = Buffer.alloc(16)
  bytes.writeUInt32BE(SIMPLE_REPLY_MAGIC, 0)
  bytes.writeUInt32BE(error, 4)
  bytes.writeBigUInt64BE(cookie, 8)
  return bytes
}

/** A reply to an option. */
export function optionReply(option: number, type: number, data: Uint8Array = new Uint8Array(0)): Buffer {
  const header = Buffer.alloc(20)
  header.writeBigUInt64BE(OPTION_REPLY_MAGIC, 0)
  header.writeUInt32BE(option, 8)
  header.writeUInt32BE(type, 12)
  header.writeUInt32BE(data.length, 16)
  return Buffer.concat([header, data])
}
