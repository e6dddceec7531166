/** Sockets of the guest as streams of the host: a program's descriptor 3, and what somebody listens on. */
import {
  AF_INET,
  AF_UNIX,
  SHUT_WR,
  SO_ERROR,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  SOL_SOCKET,
} from '@pkg/sys/constants'
import { isSysError, SysError } from '@pkg/sys/errno'
import type { OwnedFd } from '@pkg/sys/fd'
import { duplicate, setNonBlocking } from '@pkg/sys/io'
import { reactor } from '@pkg/sys/reactor'
import { connect, getsockopt, shutdown, socket } from '@pkg/sys/socket'
import type { Connection } from '../agent/connection.ts'
import type { ConnectRequest, GuestAddress } from '../agent/protocol.ts'
import { pumpIn, pumpOut } from './fd-streams.ts'

/** Numbers of the two streams that a socket becomes. */
export interface SocketStreams {
  /** What comes out of it. */
  readonly fromGuest: number
  /** What goes into it. */
  readonly toGuest: number
}

/** Makes streams of a connected socket, whose owner this is from now on. The end of one direction is told alone. */
export function joinSocket(
  connected: OwnedFd,
  { fromGuest, toGuest }: SocketStreams,
  connection: Connection,
): void {
  setNonBlocking(connected, true)
  const input = duplicate(connected)
  void pumpIn(connection.reader(toGuest), input, () => {
    try {
      shutdown(input, SHUT_WR)
    } catch (error) {
      if (!isSysError(error)) throw error
    }
    input.close()
  })
  void pumpOut(connected, connection.writer(fromGuest))
}

/** Connects, and joins. @throws SysError `ENOENT`, `ECONNREFUSED` … */
export async function connectTo(
  { address, ...streams }: ConnectRequest,
  connection: Connection,
): Promise<void> {
  const client = socket(typeof address === 'string' ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0)
  try {
    await connectAsync(client, address)
  } catch (error) {
    client.close()
    throw error
  }
  joinSocket(client, streams, connection)
}

async function connectAsync(client: OwnedFd, address: GuestAddress): Promise<void> {
  if (typeof address === 'string') return connect(client, { family: AF_UNIX, path: address })
  const { host = '127.0.0.1', port } = address
  try {
    connect(client, { family: AF_INET, address: host, port })
  } catch (error) {
    if (!isSysError(error, 'EINPROGRESS')) throw error
    await reactor().writable(client)
    const [errno = 0] = new Int32Array(getsockopt(client, SOL_SOCKET, SO_ERROR).slice().buffer)
    if (errno !== 0) throw new SysError({ errno, syscall: 'connect', path: `${host}:${port}` })
  }
}
