/** Ports of the host: is one free, and which ones did QEMU take. */
import { createSocket } from 'node:dgram'
import { createServer } from 'node:net'
import { PortInUseError, VmError } from '../errors.ts'
import { deferred } from '../host/deferred.ts'
import type { Forward } from './types.ts'

/**
 * Finds out by binding whether the host's port of a forward can be had, before a machine is started for it.
 *
 * @throws {@link PortInUseError} another program has it; {@link VmError} this user may not have it
 */
export async function assertPortFree({ hostPort, protocol }: Forward): Promise<void> {
  try {
    await (protocol === 'udp' ? bindDatagram(hostPort) : bindStream(hostPort))
  } catch (cause) {
    throw portError(hostPort, cause)
  }
}

async function bindStream(port: number): Promise<void> {
  const server = createServer()
  const bound = deferred<void>()
  server.once('error', bound.reject)
  server.listen({ port, host: '127.0.0.1', exclusive: true }, bound.resolve)
  await bound.promise
  const closed = deferred<void>()
  server.close(() => closed.resolve())
  await closed.promise
}

async function bindDatagram(port: number): Promise<void> {
  const socket = createSocket('udp4')
  const bound = deferred<void>()
  socket.once('error', bound.reject)
  socket.bind({ port, address: '127.0.0.1', exclusive: true }, bound.resolve)
  await bound.promise
  const closed = deferred<void>()
  socket.close(() => closed.resolve())
  await closed.promise
}

function portError(port: number, cause: unknown): Error {
  const code = (cause as NodeJS.ErrnoException).code
  if (code === 'EADDRINUSE') return new PortInUseError(port)
  const advice =
    code === 'EACCES' ? 'ports below 1024 need root: take a higher hostPort' : 'take another hostPort'
  return new VmError(`port ${port} of 127.0.0.1: ${(cause as Error).message}; ${advice}`, '', cause)
}

/**
 * Reads QEMU's `info usernet` for one card: below the line `Hub -1 (net0):` each rule is a line
 * `TCP[HOST_FORWARD]  FD  SOURCE-ADDRESS PORT  DESTINATION PORT  RECVQ SENDQ` (libslirp misc.c,
 * slirp_connection_info), with the port that was really bound.
 *
 * @throws {@link VmError} a rule is not in the table
 */
export function boundForwards(asked: readonly Forward[], usernet: string, netdev: string): Forward[] {
  const table = usernet.split(/^Hub /m).find((section) => section.includes(`(${netdev}):`)) ?? ''
  const rows = [...table.matchAll(/(TCP|UDP)\[HOST_FORWARD\]\s+\d+\s+\S+\s+(\d+)\s+\S+\s+(\d+)/g)]
  const free = rows.map(([, protocol, hostPort, guestPort]) => ({
    hostPort: Number(hostPort),
    guestPort: Number(guestPort),
    protocol: protocol === 'UDP' ? ('udp' as const) : ('tcp' as const),
  }))
  const take = (forward: Forward): Forward => {
    const index = free.findIndex(
      ({ hostPort, guestPort, protocol }) =>
        guestPort === forward.guestPort &&
        protocol === (forward.protocol ?? 'tcp') &&
        (forward.hostPort === 0 || hostPort === forward.hostPort),
    )
    const [found] = index < 0 ? [] : free.splice(index, 1)
    if (!found)
      throw new VmError(`QEMU does not forward to the guest's port ${forward.guestPort}:\n${usernet}`)
    return found
  }
  // Fixed ports first: a rule for "any port" must not take theirs.
  const fixed = asked.map((forward) => (forward.hostPort === 0 ? undefined : take(forward)))
  return asked.map((forward, index) => fixed[index] ?? take(forward))
}
