/**
 * The server of the control socket, in PID 1. Everything is bounded: connections, those of one user, the length of a
 * request, the time until it is whole, and what waits to be sent.
 */
import {
  AF_UNIX,
  AT_FDCWD,
  EPOLLIN,
  EPOLLOUT,
  MSG_DONTWAIT,
  MSG_NOSIGNAL,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  SOL_SOCKET,
  SO_PEERCRED,
} from '@pkg/sys/constants'
import { isSysError } from '@pkg/sys/errno'
import type { OwnedFd } from '@pkg/sys/fd'
import { fchmodat, fchownat } from '@pkg/sys/fs'
import { reactor } from '@pkg/sys/reactor'
import { accept4, bind, getsockopt, listen, recvfrom, sendto, socket } from '@pkg/sys/socket'
import {
  parseControlRequest,
  REQUEST_BYTES_MAX,
  type ControlAnswer,
  type ControlRequest,
  type MachineStatus,
} from '../control.ts'
import type { LogPriority } from '../core.ts'
import { removeSocket } from '../shell/socket-file.ts'

/** Who asks, by the kernel's word. */
export interface Peer {
  /** Its process, as it was when it connected. */
  readonly pid: number
  /** Its user. */
  readonly uid: number
}

/** What the server needs. */
export interface ControlContext {
  /** Path of the socket. */
  readonly path: string
  /** The group that may connect, beside root. */
  readonly gid: number
  /** How everything is now. */
  readonly status: () => MachineStatus
  /** Writes a line of PID 1's. */
  readonly log: (priority: LogPriority, text: string) => void
  /**
   * Does what is asked, or begins to.
   *
   * @throws Error it cannot be done, with the reason for the peer
   */
  readonly act: (request: Exclude<ControlRequest, { type: 'status' | 'watch' }>, peer: Peer) => Promise<void>
}

/** The running server. */
export interface ControlServer extends Disposable {
  /** Something has changed: those who watch are told soon. */
  changed(): void
}

/** Connections at once, and of one user that is not root: nobody can keep root out. */
const CONNECTIONS_MAX = 32
const CONNECTIONS_OF_USER_MAX = 16
/** A connection that has asked nothing for so long is closed; one that watches stays. */
const SILENT_MS = 30_000
/** What may wait for a peer that does not read; a status of a hundred services is a third of it. */
const WAITING_BYTES_MAX = 128 * 1024
/** What accept(2) lacked (descriptors, memory) is not there at once; until then the socket would wake PID 1 for ever. */
const ACCEPT_AGAIN_MS = 1000
/** Changes come in bursts: those who watch get one status for all within this time. */
const WATCH_EVERY_MS = 100

/** Listens. @throws SysError the socket cannot be made */
export function serveControl(context: ControlContext): ControlServer {
  const { path, gid } = context
  removeSocket(path)
  const listening = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0)
  try {
    bind(listening, { family: AF_UNIX, path })
    fchownat(AT_FDCWD, path, 0, gid)
    fchmodat(AT_FDCWD, path, 0o660)
    listen(listening, CONNECTIONS_MAX)
  } catch (error) {
    listening.close()
    throw error
  }
  const connections = new Set<Connection>()
  const accepting = acceptor(listening, connections, context)
  let telling: ReturnType<typeof setTimeout> | undefined

  function tell(): void {
    telling = undefined
    for (const connection of connections) connection.tellStatus()
  }

  return {
    changed() {
      if ([...connections].some(({ watching }) => watching)) telling ??= setTimeout(tell, WATCH_EVERY_MS)
    },
    [Symbol.dispose]() {
      clearTimeout(telling)
      accepting[Symbol.dispose]()
      listening.close()
      for (const connection of connections) connection.close()
      removeSocket(path)
    },
  }
}

/** Accepts whenever somebody connects, and pauses when the machine lacks what that takes. */
function acceptor(listening: OwnedFd, connections: Set<Connection>, context: ControlContext): Disposable {
  let watch: Disposable | null = null
  let pause: ReturnType<typeof setTimeout> | undefined
  function accept(): void {
    const lack = acceptAll(listening, { connections, context, onClose: goOn })
    if (lack === null) return
    context.log('warning', `control: ${lack}: nobody new is heard for ${ACCEPT_AGAIN_MS} ms`)
    watch?.[Symbol.dispose]()
    pause = setTimeout(goOn, ACCEPT_AGAIN_MS)
  }
  function goOn(): void {
    if (pause === undefined) return
    stop()
    begin()
  }
  function begin(): void {
    watch = reactor().watch(listening, EPOLLIN, accept)
  }
  function stop(): void {
    clearTimeout(pause)
    pause = undefined
    watch?.[Symbol.dispose]()
  }
  begin()
  return { [Symbol.dispose]: stop }
}

interface Accepting {
  readonly connections: Set<Connection>
  readonly context: ControlContext
  /** A descriptor is free again. */
  readonly onClose: () => void
}

/** @returns what is lacking; null when all were accepted */
function acceptAll(listening: OwnedFd, { connections, context, onClose }: Accepting): string | null {
  for (let count = 0; count < CONNECTIONS_MAX; count++) {
    let accepted: OwnedFd
    try {
      accepted = accept4(listening, SOCK_NONBLOCK).fd
    } catch (error) {
      if (isSysError(error, 'EAGAIN')) return null
      if (isSysError(error, 'ECONNABORTED')) continue
      if (isSysError(error)) return error.message
      throw error
    }
    const peer = peerOf(accepted)
    const ofUser = [...connections].filter((other) => other.peer.uid === peer.uid).length
    if (connections.size >= CONNECTIONS_MAX || (peer.uid !== 0 && ofUser >= CONNECTIONS_OF_USER_MAX)) {
      accepted.close()
      continue
    }
    const connection = new Connection(accepted, peer, context, () => {
      connections.delete(connection)
      onClose()
    })
    connections.add(connection)
  }
  return null
}

/** `struct ucred`: pid, uid, gid. */
function peerOf(connection: OwnedFd): Peer {
  const bytes = getsockopt(connection, SOL_SOCKET, SO_PEERCRED, 12)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  return { pid: view.getInt32(0, true), uid: view.getUint32(4, true) }
}

const encoder = new TextEncoder()
const decoder = new TextDecoder()
const NEWLINE = 0x0a

/** One peer: reads its requests line by line, and answers each in its turn. */
class Connection {
  readonly peer: Peer
  /** Whether it asked for every change. */
  watching = false
  readonly #fd: OwnedFd
  readonly #context: ControlContext
  readonly #onClose: () => void
  /** Null while a request is being answered: the next ones wait in the socket. */
  #reading: Disposable | null = null
  readonly #request = new Uint8Array(new ArrayBuffer(REQUEST_BYTES_MAX))
  #requestBytes = 0
  #waiting: Uint8Array[] = []
  #waitingBytes = 0
  #writing: Disposable | null = null
  /** Whether a status has to be sent when the one before it is gone. */
  #stale = false
  #silence: ReturnType<typeof setTimeout>

  constructor(fd: OwnedFd, peer: Peer, context: ControlContext, onClose: () => void) {
    this.peer = peer
    this.#fd = fd
    this.#context = context
    this.#onClose = onClose
    this.#silence = setTimeout(() => this.close(), SILENT_MS)
    this.#readOn()
  }

  /** Sends a status, if it wants one; to a peer that is slow, when it has taken the last. */
  tellStatus(): void {
    if (!this.watching) return
    this.#stale = this.#waitingBytes > 0
    if (!this.#stale) this.#send({ ok: true, status: this.#context.status() })
  }

  close(): void {
    if (this.#fd.closed) return
    clearTimeout(this.#silence)
    this.#reading?.[Symbol.dispose]()
    this.#writing?.[Symbol.dispose]()
    this.#fd.close()
    this.#onClose()
  }

  #readOn(): void {
    if (!this.#fd.closed) this.#reading = this.#watch(EPOLLIN, () => this.#read())
  }

  /** What cannot be watched for want of memory is closed: its peer may connect again. */
  #watch(events: number, onEvents: () => void): Disposable | null {
    try {
      return reactor().watch(this.#fd, events, onEvents)
    } catch (error) {
      if (!isSysError(error)) throw error
      this.close()
      return null
    }
  }

  #read(): void {
    let sizeBytes: number
    try {
      sizeBytes = recvfrom(this.#fd, this.#request.subarray(this.#requestBytes), MSG_DONTWAIT).size
    } catch (error) {
      if (isSysError(error, 'EAGAIN')) return
      return this.close()
    }
    if (sizeBytes === 0) return this.close()
    this.#requestBytes += sizeBytes
    this.#reading?.[Symbol.dispose]()
    this.#reading = null
    void this.#takeRequests()
  }

  async #takeRequests(): Promise<void> {
    for (let line = this.#nextLine(); line !== null; line = this.#nextLine()) await this.#answer(line)
    if (this.#requestBytes < REQUEST_BYTES_MAX) return this.#readOn()
    this.#send({ ok: false, error: `a request of more than ${REQUEST_BYTES_MAX} bytes` })
    this.close()
  }

  /** The next request; null when it is not whole yet. */
  #nextLine(): string | null {
    const newline = this.#request.subarray(0, this.#requestBytes).indexOf(NEWLINE)
    if (newline < 0 || this.#fd.closed) return null
    const line = decoder.decode(this.#request.subarray(0, newline))
    this.#request.copyWithin(0, newline + 1, this.#requestBytes)
    this.#requestBytes -= newline + 1
    return line
  }

  async #answer(line: string): Promise<void> {
    clearTimeout(this.#silence)
    try {
      const request = parseControlRequest(line)
      if (request.type === 'watch') this.watching = true
      if (request.type === 'status' || request.type === 'watch') {
        this.#send({ ok: true, status: this.#context.status() })
      } else {
        await this.#context.act(request, this.peer)
        this.#send({ ok: true })
      }
    } catch (error) {
      this.#send({ ok: false, error: error instanceof Error ? error.message : String(error) })
    }
    if (!this.watching && !this.#fd.closed) this.#silence = setTimeout(() => this.close(), SILENT_MS)
  }

  #send(answer: ControlAnswer): void {
    if (this.#fd.closed) return
    const bytes = encoder.encode(`${JSON.stringify(answer)}\n`)
    // A peer that asks and does not read would fill PID 1's memory.
    if (this.#waitingBytes + bytes.length > WAITING_BYTES_MAX) return this.close()
    this.#waiting.push(bytes)
    this.#waitingBytes += bytes.length
    if (this.#writing === null) this.#write()
  }

  #write(): void {
    for (let chunk = this.#waiting[0]; chunk !== undefined; chunk = this.#waiting[0]) {
      let sentBytes: number
      try {
        sentBytes = sendto(this.#fd, chunk, MSG_DONTWAIT | MSG_NOSIGNAL)
      } catch (error) {
        if (!isSysError(error, 'EAGAIN')) return this.close()
        this.#writing ??= this.#watch(EPOLLOUT, () => this.#write())
        return
      }
      this.#waitingBytes -= sentBytes
      if (sentBytes < chunk.length) this.#waiting[0] = chunk.subarray(sentBytes)
      else this.#waiting.shift()
    }
    this.#writing?.[Symbol.dispose]()
    this.#writing = null
    if (this.#stale) this.tellStatus()
  }
}
