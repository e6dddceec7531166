// The agent's door: takes connections within bounds, and hands each to a lane, a server of its own behind a socket in
// the agent's folder of /run. Bun's server accepts without a bound, and lets a client take as long as it likes for its
// headers. By its lane a request is known to be of its connection, whose bytes are encrypted here; nobody else can get to
// a lane.
import { mkdir, rm } from 'node:fs/promises'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { join } from 'node:path'
import { network } from './rate-limit.ts'

/** Connections at once: so much memory they can take. `solo` opens a handful. */
const CONNECTIONS_MAX = 64

/** Lanes of connections that were given up and are not gone yet count too. */
const LANES_MAX = 2 * CONNECTIONS_MAX

/** Before a lane is used again. */
const LANE_RESTS_MS = 50

/** A client has so long from its first byte until it shows a session; then the connection may stay. */
const STRANGERS_MS = 15_000

/** A connection without traffic is closed; an answer to a poll and the beats of a stream come sooner. */
const IDLE_MS = 30_000

/** That the door is full is told once in so long. */
const TELL_EVERY_MS = 60_000

/** Whose requests a lane serves. */
export interface Peer {
  /** The client's address. */
  readonly address: string
  /** It has shown that it is logged in. */
  readonly known: () => void
}

/** A server for one connection after the other. */
export interface Lane {
  /** Ends it, when the answers that are under way are given. */
  stop(): Promise<void>
}

/** What the front needs. */
export interface FrontOptions {
  /** TCP port; 0 takes any that is free. */
  readonly port: number
  /** The agent's own folder in memory. */
  readonly folder: string
  /** Starts a server on a Unix socket; `peer` tells whose connection it has now. */
  readonly serve: (path: string, peer: () => Peer) => Lane
  /** Writes a line into the log. */
  readonly log: (line: string) => void
}

/** The open door. */
export interface Front {
  /** Its TCP port. */
  readonly port: number
  /** Takes no more, and ends when the answers that are under way are given. */
  stop(): Promise<void>
}

/** Opens it. @throws Error the port or the folder cannot be had */
export async function openFront({ port, folder, serve, log }: FrontOptions): Promise<Front> {
  const lanes = new Lanes(join(folder, 'lanes'), serve)
  await lanes.clear()
  const door = new Door(lanes, log)
  const server = createServer((socket) => door.open(socket))
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  server.once('error', reject)
  server.listen(port, resolve)
  await promise
  server.on('error', (error) => log(`https: ${error.message}`))
  return {
    port: portOf(server),
    async stop() {
      server.close()
      await lanes.stop()
    },
  }
}

function portOf(server: Server): number {
  const address = server.address()
  return typeof address === 'object' && address !== null ? address.port : 0
}

interface OpenLane {
  readonly path: string
  readonly server: Lane
  peer: Peer
}

/** Nobody: what is still under way for a connection that has ended. */
const nobody: Peer = { address: '', known() {} }

/** The lanes, made when they are needed and used again. */
class Lanes {
  readonly #folder: string
  readonly #serve: FrontOptions['serve']
  readonly #all: OpenLane[] = []
  readonly #free: OpenLane[] = []

  constructor(folder: string, serve: FrontOptions['serve']) {
    this.#folder = folder
    this.#serve = serve
  }

  /** An agent that was killed has left its sockets. */
  async clear(): Promise<void> {
    await rm(this.#folder, { recursive: true, force: true })
    await mkdir(this.#folder, { mode: 0o700 })
  }

  /** A lane for a connection; undefined when all are taken. */
  take(peer: Peer): OpenLane | undefined {
    const lane = this.#free.pop() ?? this.#make()
    if (lane !== undefined) lane.peer = peer
    return lane
  }

  /**
   * What a connection has sent before its end may still be read: it must not be taken for the next one's. A timer that is
   * late may come before what it was late for; by the second one the loop has looked at every socket.
   */
  giveBack(lane: OpenLane): void {
    lane.peer = nobody
    setTimeout(() => setTimeout(() => void this.#free.push(lane), 0), LANE_RESTS_MS)
  }

  async stop(): Promise<void> {
    await Promise.all(this.#all.map(({ server }) => server.stop()))
  }

  #make(): OpenLane | undefined {
    if (this.#all.length >= LANES_MAX) return undefined
    const path = join(this.#folder, String(this.#all.length))
    const lane: OpenLane = { path, server: this.#serve(path, () => lane.peer), peer: nobody }
    this.#all.push(lane)
    return lane
  }
}

interface Connection {
  readonly network: string
  isKnown: boolean
  readonly close: () => void
}

/** Who is let in, and who has to go for it. */
class Door {
  readonly #lanes: Lanes
  readonly #log: (line: string) => void
  /** Oldest first. */
  readonly #connections = new Set<Connection>()
  #toldAtMs = -Infinity

  constructor(lanes: Lanes, log: (line: string) => void) {
    this.#lanes = lanes
    this.#log = log
  }

  open(socket: Socket): void {
    socket.on('error', () => {})
    const address = socket.remoteAddress
    if (address === undefined || !this.#makeRoom(network(address))) return void socket.destroy()
    const connection: Connection = { network: network(address), isKnown: false, close }
    const late = setTimeout(close, STRANGERS_MS)
    const known = (): void => {
      connection.isKnown = true
      clearTimeout(late)
    }
    const lane = this.#lanes.take({ address, known })
    if (lane === undefined) {
      clearTimeout(late)
      return void socket.destroy()
    }
    const inner = connect({ path: lane.path })
    inner.on('error', close)
    inner.on('close', () => {
      close()
      this.#lanes.giveBack(lane)
    })
    socket.on('close', close)
    socket.setTimeout(IDLE_MS, close)
    socket.pipe(inner)
    inner.pipe(socket)
    const connections = this.#connections
    connections.add(connection)
    function close(): void {
      clearTimeout(late)
      connections.delete(connection)
      socket.destroy()
      inner.destroy()
    }
  }

  /** A stranger of the network that has most of them goes, so that who floods us keeps itself out first. */
  #makeRoom(newcomer: string): boolean {
    if (this.#connections.size < CONNECTIONS_MAX) return true
    const strangers = [...this.#connections].filter(({ isKnown }) => !isKnown)
    const counts = new Map([[newcomer, 1]])
    for (const { network: of } of strangers) counts.set(of, (counts.get(of) ?? 0) + 1)
    const most = Math.max(...counts.values())
    const oldest = strangers.find(({ network: of }) => counts.get(of) === most)
    this.#tell(oldest?.network ?? newcomer)
    oldest?.close()
    return oldest !== undefined
  }

  #tell(whose: string): void {
    const nowMs = performance.now()
    if (nowMs - this.#toldAtMs < TELL_EVERY_MS) return
    this.#toldAtMs = nowMs
    this.#log(`${CONNECTIONS_MAX} connections are open: one of ${whose} gives way`)
  }
}
