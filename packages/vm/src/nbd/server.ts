/** Listens on a Unix socket and gives each client that comes its connection. */
import { rmSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { ByteReader } from './byte-reader.ts'
import type { DiskDevice } from './device.ts'
import { negotiate } from './negotiation.ts'
import { transmit } from './transmission.ts'

/** What {@link NbdServer} serves. */
export interface NbdServerOptions {
  device: DiskDevice
  exportName: string
  path: string
  /** Told why a connection was closed, when the client did not just leave. */
  onConnectionError: (error: unknown) => void
}

/** An NBD server for one disk. */
export class NbdServer implements AsyncDisposable {
  readonly #options: NbdServerOptions
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  #plugged = true

  constructor(options: NbdServerOptions) {
    this.#options = options
    this.#server = createServer((socket) => {
      this.#sockets.add(socket)
      socket.on('close', () => this.#sockets.delete(socket))
      // The loop that reads learns of it; here it must only not be unhandled.
      socket.on('error', () => {})
      if (this.#plugged) void this.#serve(socket)
      else socket.destroy()
    })
  }

  /** How many clients are connected. */
  get connectionCount(): number {
    return this.#sockets.size
  }

  /** Whether clients are let in. */
  get plugged(): boolean {
    return this.#plugged
  }

  /** Resolves when clients can connect. Rejects when the socket cannot be made. */
  async listen(): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject)
      this.#server.listen({ path: this.#options.path }, resolve)
    })
  }

  /** Breaks all connections. With `plugged: false`, new ones are broken as well until it is called with true. */
  disconnect(plugged: boolean): void {
    this.#plugged = plugged
    for (const socket of this.#sockets) socket.destroy()
  }

  /** Lets clients in again. */
  plug(): void {
    this.#plugged = true
  }

  /** Breaks all connections and removes the socket. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.disconnect(false)
    await new Promise<void>((resolve) => {
      this.#server.close(() => resolve())
    })
    rmSync(this.#options.path, { force: true })
  }

  async #serve(socket: Socket): Promise<void> {
    const { device, exportName, onConnectionError } = this.#options
    const reader = new ByteReader(socket)
    try {
      const offered = { name: exportName, sizeBytes: device.sizeBytes, readOnly: device.readOnly }
      if (await negotiate(reader, socket, offered))
        await transmit(reader, socket, { device, onDrop: () => this.disconnect(true) })
      socket.end()
    } catch (error) {
      // A broken connection is the client's affair; a broken protocol is worth a word.
      if (!socket.destroyed) onConnectionError(error)
      socket.destroy()
    }
  }
}
