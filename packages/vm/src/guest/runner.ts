/** The runner: a process that carries functions out, so that one that crashes takes nothing else along. */
import { OwnedFd } from '@pkg/sys/fd'
import { setNonBlocking } from '@pkg/sys/io'
import { Connection } from '../agent/connection.ts'
import type { RunRequest } from '../agent/protocol.ts'
import { call } from './call.ts'
import { Wire } from './fd-streams.ts'
import { reseed } from './own-randomness.ts'

/** Answers the agent on descriptor 3 until that ends. */
export function serveRunner(): void {
  const fd = new OwnedFd(3)
  setNonBlocking(fd, true)
  const wire = new Wire(fd)
  const connection = new Connection({
    send: (bytes) => wire.send(bytes),
    onRequest: (method, params) => (method === 'reseed' ? reseed() : call(params as RunRequest)),
  })
  // What a function left behind unobserved must not end those that come after it.
  const report = (error: unknown): void => {
    process.stderr.write(
      `runner: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`,
    )
  }
  process.on('uncaughtException', report)
  process.on('unhandledRejection', report)
  void wire.receive((bytes) => connection.receive(bytes), true).finally(() => process.exit(0))
}
