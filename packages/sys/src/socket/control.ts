// Control messages of sockets: descriptors, credentials and others that travel beside the bytes.
import { SCM_CREDENTIALS, SCM_RIGHTS, SOL_SOCKET } from '../generated/constants/socket.ts'
import { type AsFd, fdNumber, OwnedFd } from '../fd.ts'
import { bytes as byteArray, s32, u32 } from '../raw/arguments.ts'

/** Who a process is, as the kernel vouches for it. */
export interface SocketCredentials {
  /** Its id. */
  pid: number
  /** Its user. */
  uid: number
  /** Its group. */
  gid: number
}

/** A control message to send. */
export type ControlMessage =
  | { /** Descriptors for the peer, at most 253. */ type: 'rights'; fds: readonly AsFd[] }
  | { type: 'credentials'; credentials: SocketCredentials }
  | { type: 'other'; level: number; number: number; data: Uint8Array }

/** A control message that was received. */
export type ReceivedControl =
  | { /** The receiver owns them; close-on-exec. */ type: 'rights'; fds: OwnedFd[] }
  | {
      /** Of the sender, with SO_PASSPIDFD; the receiver owns it; close-on-exec. */ type: 'pidfd'
      fd: OwnedFd
    }
  | { type: 'credentials'; credentials: SocketCredentials }
  | { type: 'other'; level: number; number: number; data: Uint8Array }

/** `SCM_PIDFD` (include/linux/socket.h): not in the UAPI headers. */
const SCM_PIDFD = 4

/** `SCM_MAX_FD` (include/net/scm.h). */
const rightsMax = 253

/** `struct cmsghdr`: size_t len, int level, int type; each message begins at a multiple of 8 (`CMSG_ALIGN`). */
const headerSize = 16

const align = (sizeBytes: number): number => (sizeBytes + 7) & ~7

function dataOf(message: ControlMessage): { level: number; number: number; data: Uint8Array } {
  switch (message.type) {
    case 'rights': {
      const { fds } = message
      if (fds.length > rightsMax) throw new RangeError(`${fds.length} descriptors: at most ${rightsMax}`)
      const words = Int32Array.from(fds, (fd) => fdNumber(fd))
      return { level: SOL_SOCKET, number: SCM_RIGHTS, data: new Uint8Array(words.buffer) }
    }
    case 'credentials': {
      const { pid, uid, gid } = message.credentials
      const words = Uint32Array.of(s32(pid, 'pid'), u32(uid, 'uid'), u32(gid, 'gid'))
      return { level: SOL_SOCKET, number: SCM_CREDENTIALS, data: new Uint8Array(words.buffer) }
    }
    case 'other':
      return {
        level: u32(message.level, 'level'),
        number: u32(message.number, 'number'),
        data: byteArray(message.data, 'data'),
      }
    default:
      throw new TypeError(`not a control message: ${String((message as { type: unknown }).type)}`)
  }
}

/** The control messages as the kernel reads them. */
export function encodeControl(messages: readonly ControlMessage[]): Uint8Array<ArrayBuffer> {
  const parts = messages.map(dataOf)
  const total = parts.reduce((sum, { data }) => sum + align(headerSize + data.length), 0)
  const memory = new Uint8Array(new ArrayBuffer(total))
  const fields = new DataView(memory.buffer)
  let at = 0
  for (const { level, number, data } of parts) {
    fields.setBigUint64(at, BigInt(headerSize + data.length), true)
    fields.setInt32(at + 8, level, true)
    fields.setInt32(at + 12, number, true)
    memory.set(data, at + headerSize)
    at += align(headerSize + data.length)
  }
  return memory
}

/** What the kernel wrote into the first `sizeBytes` of `memory`, whole messages only. Descriptors are owned from here on. */
export function decodeControl(memory: Uint8Array<ArrayBuffer>, sizeBytes: number): ReceivedControl[] {
  const fields = new DataView(memory.buffer, memory.byteOffset, sizeBytes)
  const messages: ReceivedControl[] = []
  for (let at = 0; at + headerSize <= sizeBytes;) {
    const length = Number(fields.getBigUint64(at, true))
    if (length < headerSize || at + length > sizeBytes) break
    const [level, number] = [fields.getInt32(at + 8, true), fields.getInt32(at + 12, true)]
    const data = memory.slice(at + headerSize, at + length)
    const message = decodeOne(level, number, data)
    if (message !== undefined) messages.push(message)
    at += align(length)
  }
  return messages
}

/** One message; undefined for one that was cut, which MSG_CTRUNC tells. */
function decodeOne(
  level: number,
  number: number,
  data: Uint8Array<ArrayBuffer>,
): ReceivedControl | undefined {
  const words = new DataView(data.buffer)
  if (level === SOL_SOCKET && number === SCM_RIGHTS) {
    const count = data.length >> 2
    const fds = Array.from({ length: count }, (_, index) => new OwnedFd(words.getInt32(index * 4, true)))
    return { type: 'rights', fds }
  }
  if (level === SOL_SOCKET && number === SCM_CREDENTIALS) {
    if (data.length < 12) return undefined
    const [pid, uid, gid] = [words.getInt32(0, true), words.getUint32(4, true), words.getUint32(8, true)]
    return { type: 'credentials', credentials: { pid, uid, gid } }
  }
  if (level === SOL_SOCKET && number === SCM_PIDFD) {
    if (data.length < 4) return undefined
    const fd = words.getInt32(0, true)
    // A negative one says that none could be made: the caller sees the number.
    if (fd >= 0) return { type: 'pidfd', fd: new OwnedFd(fd) }
  }
  return { type: 'other', level, number, data }
}
