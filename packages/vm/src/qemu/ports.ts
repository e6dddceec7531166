/** Ports of the host: is one free, and which ones did QEMU take. */
import { createServer } from 'node:net'
import { PortInUseError, VmError } from '../errors.ts'
import type { Forward } from './types.ts'

/**
 * Finds out by binding whether `port` of 127.0.0.1 can be had, before a machine is started for it.
 *
 * @throws {@link PortInUseError} another program has it; {@link VmError} this user may not have it
 */
export async function assertPortFree(port: number): Promise<void> {
  const server = createServer()
  const bound = Promise.withResolvers<void>()
  server.once('error', bound.reject)
  server.listen({ port, host: '127.0.0.1', exclusive: true }, bound.resolve)
  try {
    await bound.promise
  } catch (cause) {
    throw portError(port, cause)
  }
  const closed = Promise.withResolvers<void>()
  server.close(() => closed.resolve())
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
 * Reads QEMU's `info usernet`: each rule is a line
 * `TCP[HOST_FORWARD]  FD  SOURCE-ADDRESS PORT  DESTINATION PORT  RECVQ SENDQ` (libslirp misc.c,
 * slirp_connection_info), with the port that was really bound.
 *
 * @throws {@link VmError} a rule is not in the table
 */
export function boundForwards(asked: readonly Forward[], usernet: string): Forward[] {
  const rows = [...usernet.matchAll(/TCP\[HOST_FORWARD\]\s+\d+\s+\S+\s+(\d+)\s+\S+\s+(\d+)/g)]
  const free = rows.map(([, hostPort, guestPort]) => ({
    hostPort: Number(hostPort),
    guestPort: Number(guestPort),
  }))
  const take = (forward: Forward): Forward => {
    const index = free.findIndex(
      ({ hostPort, guestPort }) =>
        guestPort === forward.guestPort && (forward.hostPort === 0 || hostPort === forward.hostPort),
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
