// Listens on the updater's socket.
import { chmod, chown, rm } from 'node:fs/promises'
import { createServer, type Server } from 'node:net'
import type { Installer } from './installer.ts'
import { Session } from './session.ts'

/** So many clients may be connected: the agent is one, and asks one thing at a time. */
const connectionsMax = 16

/** Where to listen, for whom. */
export interface ServeOptions {
  readonly path: string
  /** Who may connect besides root: members of this group. */
  readonly gid: number
  readonly installer: Installer
}

/** Listens until it is disposed of, which ends what is under way. */
export async function serve({ path, gid, installer }: ServeOptions): Promise<AsyncDisposable> {
  const sessions = new Set<Session>()
  const server = createServer((socket) => {
    const session = new Session(socket, installer)
    sessions.add(session)
    socket.on('close', () => sessions.delete(session))
  })
  server.maxConnections = connectionsMax
  // One that was killed has left its name.
  await rm(path, { force: true })
  await listen(server, path)
  await chown(path, 0, gid)
  await chmod(path, 0o660)
  return {
    async [Symbol.asyncDispose]() {
      for (const session of sessions) session.close()
      const { promise, resolve } = Promise.withResolvers<void>()
      server.close(() => resolve())
      await promise
    },
  }
}

/** With a mask, so that between listen and chmod nobody else connects. */
async function listen(server: Server, path: string): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const before = process.umask(0o177)
  try {
    server.once('error', reject)
    server.listen(path, resolve)
    await promise
    server.off('error', reject)
  } finally {
    process.umask(before)
  }
}
