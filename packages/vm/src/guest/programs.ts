/** Programs that the host starts, and their streams. */
import { AF_UNIX, SOCK_STREAM } from '@pkg/sys/constants'
import { isSysError } from '@pkg/sys/errno'
import type { OwnedFd } from '@pkg/sys/fd'
import { duplicate } from '@pkg/sys/io'
import { kill, pidfd_send_signal } from '@pkg/sys/process'
import { socketpair } from '@pkg/sys/socket'
import { type Child, spawn, type SpawnOptions } from '@pkg/sys/spawn'
import { constants } from 'node:os'
import type { Connection } from '../agent/connection.ts'
import type { ProgramEnd, SpawnRequest, TerminalSize } from '../agent/protocol.ts'
import { GUEST_ENVIRONMENT } from '../guest-image/environment.ts'
import { pumpIn, pumpOut } from './fd-streams.ts'
import type { Reaper } from './reaper.ts'
import { rootedLauncher } from './rooted.ts'
import { joinSocket } from './sockets.ts'
import { openTerminal, setTerminalSize, type Terminal } from './terminal.ts'

interface Running {
  readonly child: Child
  readonly ended: Promise<ProgramEnd>
  readonly terminal: OwnedFd | undefined
}

/** The programs of one agent, by process id. */
export class Programs {
  readonly #reaper: Reaper
  readonly #running = new Map<number, Running>()
  /** Those whose end was told. What they left in their groups may still be ended. */
  readonly #told = new Set<number>()

  constructor(reaper: Reaper) {
    this.#reaper = reaper
  }

  /** Starts a program; its streams are those of `connection` that the request numbers. */
  start(request: SpawnRequest, connection: Connection): number {
    using cleanup = new DisposableStack()
    const terminal = request.tty && openTerminal(request.tty)
    if (terminal) cleanup.use(terminal.slave)
    const ipc = request.ipc && socketpair(AF_UNIX, SOCK_STREAM, 0)
    if (ipc) cleanup.use(ipc[1])
    let child: Child
    try {
      child = spawn(spawnOptions(request, terminal, ipc?.[1], cleanup))
    } catch (error) {
      terminal?.master.close()
      ipc?.[0].close()
      throw error
    }
    this.#keep(child, terminal?.master)
    if (terminal) connectTerminal(terminal.master, request, connection)
    else connectPipes(child, request, connection)
    if (ipc && request.ipc) joinSocket(ipc[0], request.ipc, connection)
    return child.pid
  }

  /** How a program ended; may be asked once it has. */
  async wait(pid: number): Promise<ProgramEnd> {
    const end = await this.#find(pid).ended
    this.#running.delete(pid)
    this.#told.add(pid)
    return end
  }

  /** Sends a signal, to the program or to all of its process group; nothing happens when they have ended. */
  kill(pid: number, name: string, toGroup: boolean): void {
    const signal = (constants.signals as Record<string, number>)[name]
    if (signal === undefined) throw new RangeError(`no such signal: ${name}`)
    const program = this.#running.get(pid)
    if (program === undefined && !(toGroup && this.#told.has(pid))) return
    try {
      // Its number stays the group's, and nobody else's, for as long as anybody is in it.
      if (toGroup) kill(-pid, signal)
      else if (program?.child.pidfd.closed === false) pidfd_send_signal(program.child.pidfd, signal)
    } catch (error) {
      if (!isSysError(error, 'ESRCH')) throw error
    }
  }

  /** Sets the size of a program's terminal. */
  resize(pid: number, size: TerminalSize): void {
    const { terminal } = this.#find(pid)
    if (terminal === undefined) throw new TypeError(`process ${pid} has no terminal`)
    if (!terminal.closed) setTerminalSize(terminal, size)
  }

  #find(pid: number): Running {
    const program = this.#running.get(pid)
    if (program === undefined)
      throw new Error(`the agent has started no process ${pid}, or told its end already`)
    return program
  }

  #keep(child: Child, terminal: OwnedFd | undefined): void {
    const ended = this.#reaper.ended(child.pid)
    this.#told.delete(child.pid)
    this.#running.set(child.pid, { child, ended, terminal })
    void ended.then(() => child.pidfd.close())
  }
}

function spawnOptions(
  request: SpawnRequest,
  terminal: Terminal | undefined,
  ipc: OwnedFd | undefined,
  cleanup: DisposableStack,
): SpawnOptions {
  const { root, cwd = '/', env = GUEST_ENVIRONMENT, uid = 0, gid = 0 } = request
  const input = request.stdin === undefined ? 'null' : 'pipe'
  const common: Omit<SpawnOptions, 'file'> = {
    env,
    stdio: terminal ? [terminal.slave, terminal.slave, terminal.slave] : [input, 'pipe', 'pipe'],
    newSession: true,
    ...(terminal ? { controllingTty: terminal.slave } : {}),
    ...(ipc ? { fds: { 3: ipc } } : {}),
  }
  if (root !== undefined && root !== '/') {
    const launcher = cleanup.use(rootedLauncher({ ...request, root, cwd, env, uid, gid }))
    return { ...common, file: `/proc/self/fd/${launcher.fd}`, argv0: request.file }
  }
  const user = uid === 0 && gid === 0 ? {} : { uid, gid, groups: [] }
  return { ...common, ...user, file: request.file, args: request.args, cwd }
}

function connectPipes(child: Child, request: SpawnRequest, connection: Connection): void {
  const { stdin, stdout, stderr } = child
  if (stdin && request.stdin !== undefined)
    void pumpIn(connection.reader(request.stdin), stdin, () => stdin.close())
  if (stdout) void pumpOut(stdout, connection.writer(request.stdout))
  if (stderr && request.stderr !== undefined) void pumpOut(stderr, connection.writer(request.stderr))
}

function connectTerminal(master: OwnedFd, request: SpawnRequest, connection: Connection): void {
  if (request.stdin !== undefined) {
    const input = duplicate(master)
    void pumpIn(connection.reader(request.stdin), input, () => input.close())
  }
  void pumpOut(master, connection.writer(request.stdout))
}
