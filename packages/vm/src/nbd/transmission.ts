/** The second half of an NBD connection: requests and replies, in whatever order the replies become ready. */
import type { Writable } from 'node:stream'
import type { ByteReader } from './byte-reader.ts'
import type { DiskAnswer, DiskDevice, DiskRequest } from './device.ts'
import type { DiskOperation } from './faults.ts'
import {
  Command,
  CommandFlag,
  NbdProtocolError,
  parseRequest,
  PAYLOAD_BYTES_MAX,
  ReplyError,
  REQUEST_BYTES,
  simpleReply,
  type RequestHeader,
} from './protocol.ts'

/** How many requests of a connection may be under way; Linux's NBD and QEMU send 128 and 16 at most. */
const UNDER_WAY_MAX = 128

const OPERATION_OF: Readonly<Record<number, DiskOperation>> = {
  [Command.READ]: 'read',
  [Command.WRITE]: 'write',
  [Command.FLUSH]: 'flush',
  [Command.TRIM]: 'trim',
  [Command.WRITE_ZEROES]: 'zero',
}

/** What a connection needs besides its streams. */
export interface TransmissionOptions {
  device: DiskDevice
  /** Breaks the connections of all clients. */
  onDrop: () => void
}

/**
 * Serves requests until the client leaves.
 *
 * @throws NbdProtocolError the client broke the protocol
 */
export async function transmit(
  reader: ByteReader,
  output: Writable,
  { device, onDrop }: TransmissionOptions,
): Promise<void> {
  const underWay = new Set<Promise<void>>()
  for (;;) {
    const header = await reader.read(REQUEST_BYTES)
    if (header === undefined) return
    const request = parseRequest(header)
    if (request.command === Command.DISC) break
    const data = await readPayload(reader, request)
    if (data === undefined) return
    const handled: Promise<void> = answerTo(device, request, data).then((answer) => {
      underWay.delete(handled)
      if (answer.end === 'drop') return onDrop()
      return answer.end === 'reply' ? send(output, request, answer) : undefined
    })
    underWay.add(handled)
    while (underWay.size >= UNDER_WAY_MAX) await Promise.race(underWay)
    await drained(output)
  }
  // A client that takes its leave has a right to the answers it is still owed.
  await Promise.all(underWay)
}

/** Reads what follows a write's header; undefined when the client is gone. */
async function readPayload(reader: ByteReader, request: RequestHeader): Promise<Buffer | undefined> {
  if (request.command !== Command.WRITE) return Buffer.alloc(0)
  if (request.length > PAYLOAD_BYTES_MAX)
    throw new NbdProtocolError(`a write of ${request.length} bytes; ${PAYLOAD_BYTES_MAX} is the most`)
  return reader.read(request.length)
}

async function answerTo(device: DiskDevice, request: RequestHeader, data: Buffer): Promise<DiskAnswer> {
  const operation = OPERATION_OF[request.command]
  const error = operation === undefined ? ReplyError.EINVAL : refusal(operation, request, device)
  if (error !== 0 || operation === undefined) return { end: 'reply', error }
  const { length } = request
  const fua = (request.flags & CommandFlag.FUA) !== 0
  const valid: DiskRequest =
    operation === 'flush'
      ? { operation, offset: 0, length: 0, fua }
      : { operation, offset: Number(request.offset), length, fua }
  return device.execute(operation === 'write' ? { ...valid, data } : valid)
}

/** The error of a request that cannot be carried out, as the specification assigns them; 0 for one that can. */
function refusal(
  operation: DiskOperation,
  { flags, offset, length }: RequestHeader,
  device: DiskDevice,
): number {
  const knownFlags = operation === 'zero' ? CommandFlag.FUA | CommandFlag.NO_HOLE : CommandFlag.FUA
  if ((flags & ~knownFlags) !== 0) return ReplyError.EINVAL
  if (operation === 'flush') return 0
  if (operation === 'read' && length > PAYLOAD_BYTES_MAX) return ReplyError.EOVERFLOW
  if (offset + BigInt(length) <= BigInt(device.sizeBytes)) return 0
  return operation === 'write' || operation === 'zero' ? ReplyError.ENOSPC : ReplyError.EINVAL
}

function send(output: Writable, request: RequestHeader, answer: { error: number; data?: Buffer }): void {
  if (output.destroyed || output.writableEnded) return
  const reply = simpleReply(request.cookie, answer.error)
  output.write(answer.data === undefined ? reply : Buffer.concat([reply, answer.data]))
}

/** A client that does not read its replies gets no further requests in. */
async function drained(output: Writable): Promise<void> {
  if (!output.writableNeedDrain || output.destroyed) return
  const events = ['drain', 'close', 'error']
  await new Promise<void>((resolve) => {
    const done = (): void => {
      // What did not happen is not waited for any longer: this is called for each request of a slow client.
      for (const event of events) output.off(event, done)
      resolve()
    }
    for (const event of events) output.on(event, done)
  })
}
