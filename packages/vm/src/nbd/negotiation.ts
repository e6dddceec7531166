/** The first half of an NBD connection: server and client agree on the export. */
import type { Writable } from 'node:stream'
import type { ByteReader } from './byte-reader.ts'
import {
  HandshakeFlag,
  IHAVEOPT,
  Info,
  NBDMAGIC,
  NbdProtocolError,
  Option,
  OPTION_BYTES_MAX,
  OptionReply,
  optionReply,
  PAYLOAD_BYTES_MAX,
  TransmissionFlag,
} from './protocol.ts'

/** What is offered. */
export interface Export {
  /** Its name; the empty name is understood as well. */
  name: string
  sizeBytes: number
  readOnly: boolean
}

/** Block sizes that clients are told: what a disk writes whole, what file systems like, and the most of a request. */
const BLOCK_BYTES = { min: 512, preferred: 4_096, max: PAYLOAD_BYTES_MAX }

const SUPPORTED_CLIENT_FLAGS = HandshakeFlag.FIXED_NEWSTYLE | HandshakeFlag.NO_ZEROES

/**
 * Negotiates until the client takes the export or leaves.
 *
 * @returns whether requests follow
 * @throws NbdProtocolError the client broke the protocol
 */
export async function negotiate(reader: ByteReader, output: Writable, offered: Export): Promise<boolean> {
  const hello = Buffer.alloc(18)
  hello.writeBigUInt64BE(NBDMAGIC, 0)
  hello.writeBigUInt64BE(IHAVEOPT, 8)
  hello.writeUInt16BE(SUPPORTED_CLIENT_FLAGS, 16)
  output.write(hello)
  const clientFlags = (await reader.read(4))?.readUInt32BE(0)
  if (clientFlags === undefined) return false
  if ((clientFlags & ~SUPPORTED_CLIENT_FLAGS) !== 0)
    throw new NbdProtocolError(`client flags 0x${clientFlags.toString(16)} are not known`)
  const noZeroes = (clientFlags & HandshakeFlag.NO_ZEROES) !== 0
  for (;;) {
    const option = await readOption(reader)
    if (option === undefined) return false
    const next = answerOption(option, output, offered, noZeroes)
    if (next !== 'haggle') return next === 'transmit'
  }
}

interface ClientOption {
  type: number
  data: Buffer
}

async function readOption(reader: ByteReader): Promise<ClientOption | undefined> {
  const header = await reader.read(16)
  if (header === undefined) return undefined
  if (header.readBigUInt64BE(0) !== IHAVEOPT) throw new NbdProtocolError('an option without its magic')
  const length = header.readUInt32BE(12)
  if (length > OPTION_BYTES_MAX) throw new NbdProtocolError(`an option of ${length} bytes`)
  const data = await reader.read(length)
  return data && { type: header.readUInt32BE(8), data }
}

type Next = 'haggle' | 'transmit' | 'leave'

function answerOption(
  { type, data }: ClientOption,
  output: Writable,
  offered: Export,
  noZeroes: boolean,
): Next {
  switch (type) {
    case Option.EXPORT_NAME:
      // This option has no way to say no.
      if (!isNameOf(offered, data.toString())) throw new NbdProtocolError(`no export ${data.toString()}`)
      output.write(Buffer.concat([exportFacts(offered), Buffer.alloc(noZeroes ? 0 : 124)]))
      return 'transmit'
    case Option.ABORT:
      output.write(optionReply(type, OptionReply.ACK))
      return 'leave'
    case Option.LIST:
      answerList(data, output, offered)
      return 'haggle'
    case Option.INFO:
    case Option.GO:
      return answerInfo(type, data, output, offered) && type === Option.GO ? 'transmit' : 'haggle'
    default:
      output.write(optionReply(type, OptionReply.ERR_UNSUP))
      return 'haggle'
  }
}

function answerList(data: Buffer, output: Writable, { name }: Export): void {
  if (data.length > 0) return void output.write(optionReply(Option.LIST, OptionReply.ERR_INVALID))
  output.write(optionReply(Option.LIST, OptionReply.SERVER, withLength(name)))
  output.write(optionReply(Option.LIST, OptionReply.ACK))
}

/** `NBD_OPT_INFO` and `NBD_OPT_GO`: length and name, then a count and as many 16-bit requests for information. */
function answerInfo(type: number, data: Buffer, output: Writable, offered: Export): boolean {
  const nameLength = data.length < 6 ? Number.POSITIVE_INFINITY : data.readUInt32BE(0)
  const countAt = 4 + nameLength
  if (countAt + 2 > data.length || countAt + 2 + 2 * data.readUInt16BE(countAt) !== data.length) {
    output.write(optionReply(type, OptionReply.ERR_INVALID))
    return false
  }
  if (!isNameOf(offered, data.toString('utf8', 4, countAt))) {
    output.write(optionReply(type, OptionReply.ERR_UNKNOWN))
    return false
  }
  const kind = Buffer.alloc(2)
  kind.writeUInt16BE(Info.EXPORT)
  output.write(optionReply(type, OptionReply.INFO, Buffer.concat([kind, exportFacts(offered)])))
  const blockSizes = Buffer.alloc(14)
  blockSizes.writeUInt16BE(Info.BLOCK_SIZE, 0)
  blockSizes.writeUInt32BE(BLOCK_BYTES.min, 2)
  blockSizes.writeUInt32BE(BLOCK_BYTES.preferred, 6)
  blockSizes.writeUInt32BE(BLOCK_BYTES.max, 10)
  output.write(optionReply(type, OptionReply.INFO, blockSizes))
  output.write(optionReply(type, OptionReply.ACK))
  return true
}

/** Size and transmission flags. */
function exportFacts({ sizeBytes, readOnly }: Export): Buffer {
  const { HAS_FLAGS, READ_ONLY, SEND_FLUSH, SEND_FUA, SEND_TRIM, SEND_WRITE_ZEROES, CAN_MULTI_CONN } =
    TransmissionFlag
  const facts = Buffer.alloc(10)
  facts.writeBigUInt64BE(BigInt(sizeBytes), 0)
  const able = HAS_FLAGS | SEND_FLUSH | SEND_FUA | SEND_TRIM | SEND_WRITE_ZEROES | CAN_MULTI_CONN
  facts.writeUInt16BE(readOnly ? able | READ_ONLY : able, 8)
  return facts
}

function isNameOf({ name }: Export, asked: string): boolean {
  return asked === '' || asked === name
}

function withLength(text: string): Buffer {
  const bytes = Buffer.from(text)
  const length = Buffer.alloc(4)
  length.writeUInt32BE(bytes.length)
  return Buffer.concat([length, bytes])
}
