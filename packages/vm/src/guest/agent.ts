/** The agent: answers the host's calls. An exception of any of them is the host's to see, and never the agent's end. */
import { CLOCK_REALTIME } from '@pkg/sys/constants'
import { sync } from '@pkg/sys/io'
import { getpid } from '@pkg/sys/process'
import { uname } from '@pkg/sys/system'
import { clock_settime } from '@pkg/sys/time'
import { Connection } from '../agent/connection.ts'
import { type Frame, FrameType } from '../agent/frames.ts'
import type { ConnectRequest, GuestHello, RunRequest, ShutdownKind, SpawnRequest } from '../agent/protocol.ts'
import { decode, encode } from '../agent/values.ts'
import { call } from './call.ts'
import type { Control } from './control.ts'
import { Wire } from './fd-streams.ts'
import { fileCalls } from './files.ts'
import { guestInfo } from './info.ts'
import { reseedKernel } from './kernel-randomness.ts'
import { endMachine, quiesce } from './power.ts'
import { Programs } from './programs.ts'
import { reseed } from './own-randomness.ts'
import { Reaper } from './reaper.ts'
import { RunnerProcess } from './runner-process.ts'
import { connectTo } from './sockets.ts'

/** What an agent is told at its start. */
export interface AgentOptions {
  /** What went wrong before. */
  readonly bootProblems: readonly string[]
  /** The agent's own program, from which the runner is started. */
  readonly script: string
}

/** How long the end mark may take to leave the machine, in milliseconds; then it ends without. */
const FAREWELL_MS = 1000

type Handler = (params: never) => unknown
type FileHandler = (params: never, connection: Connection) => unknown

/** An agent serves one line. */
export class Agent {
  readonly #bootProblems: readonly string[]
  // The global one: node:crypto would be half of what the agent does before it answers.
  readonly #bootId = crypto.randomUUID()
  readonly #programs: Programs
  readonly #runner: RunnerProcess
  #wire: Wire | undefined
  #connection: Connection | undefined

  constructor({ bootProblems, script }: AgentOptions) {
    this.#bootProblems = bootProblems
    const reaper = new Reaper()
    this.#programs = new Programs(reaper)
    this.#runner = new RunnerProcess(reaper, script)
  }

  /** Answers on `control` for ever; as PID 1 of a namespace, whose line ends with its host, until that. */
  async serve({ fd, hasEnd, isPaced }: Control): Promise<void> {
    const wire = new Wire(fd)
    this.#wire = wire
    const connection = new Connection({
      send: (bytes) => wire.send(bytes),
      onRequest: (method, params) => this.#answer(method, params),
      onFrame: (frame) => this.#greet(frame),
    })
    this.#connection = connection
    connection.send(FrameType.hello, 0, encode(this.#hello('')))
    const receive = (bytes: Uint8Array): void => {
      connection.receive(bytes)
      if (isPaced)
        connection.send(FrameType.lineCredit, 0, new Uint8Array(Uint32Array.of(bytes.length).buffer))
    }
    await wire.receive(receive, hasEnd)
    process.exit(0)
  }

  #greet({ type, payload }: Frame): void {
    if (type !== FrameType.attach) return
    const { nonce } = decode(payload) as { nonce: string }
    this.#connection?.reset(new Error('another host has taken over'))
    this.#connection?.send(FrameType.hello, 0, encode(this.#hello(nonce)))
  }

  #hello(nonce: string): GuestHello {
    const { release, machine } = uname()
    const bunVersion = Bun.version
    return {
      nonce,
      bootId: this.#bootId,
      release,
      architecture: machine,
      pid: getpid(),
      bunVersion,
      bootProblems: this.#bootProblems,
    }
  }

  #answer(method: string, params: unknown): unknown {
    const handler = Object.hasOwn(this.#handlers, method) ? this.#handlers[method] : undefined
    if (handler) return handler(params as never)
    const file = fileCalls[method as keyof typeof fileCalls] as FileHandler | undefined
    if (file) return file(params as never, this.#connected())
    throw new TypeError(`the agent has no call ${method}`)
  }

  readonly #handlers: Readonly<Record<string, Handler>> = {
    ping: () => null,
    spawn: (request: SpawnRequest) => this.#programs.start(request, this.#connected()),
    wait: ({ pid }: { pid: number }) => this.#programs.wait(pid),
    kill: ({ pid, signal, group }: { pid: number; signal: string; group: boolean }) =>
      this.#programs.kill(pid, signal, group),
    resize: ({ pid, ...size }: { pid: number; columns: number; rows: number }) =>
      this.#programs.resize(pid, size),
    connect: (request: ConnectRequest) => connectTo(request, this.#connected()),
    run: (request: RunRequest) => (request.pid1 ? call(request) : this.#runner.run(request)),
    endRunner: () => this.#runner.end(),
    info: guestInfo,
    setClock: ({ nowMs }: { nowMs: number }) => setClock(nowMs),
    restored: (state: { nowMs: number; seed: Uint8Array }) => this.#restored(state),
    shutdown: ({ kind }: { kind: ShutdownKind }) => this.#shutdown(kind),
  }

  #connected(): Connection {
    if (this.#connection === undefined) throw new Error('no host')
    return this.#connection
  }

  async #restored({ nowMs, seed }: { nowMs: number; seed: Uint8Array }): Promise<string[]> {
    const problems: string[] = []
    const attempt = async (step: () => unknown): Promise<void> => {
      try {
        await step()
      } catch (error) {
        problems.push(error instanceof Error ? error.message : String(error))
      }
    }
    // The processes ask the kernel, which must have its own first; then each works for itself.
    await attempt(() => reseedKernel(seed))
    const runner = attempt(() => this.#runner.reseed())
    await attempt(reseed)
    await attempt(() => setClock(nowMs))
    await runner
    return problems
  }

  async #shutdown(kind: ShutdownKind): Promise<void> {
    if (getpid() === 1) await quiesce()
    else sync()
    this.#connection?.send(FrameType.endMark, 0)
    await Promise.race([this.#wire?.flushed(), new Promise((resolve) => setTimeout(resolve, FAREWELL_MS))])
    if (getpid() === 1) endMachine(kind)
    else process.exit(0)
  }
}

function setClock(nowMs: number): void {
  clock_settime(CLOCK_REALTIME, BigInt(Math.round(nowMs * 1000)) * 1000n)
}
