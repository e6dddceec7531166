/** The runner seen from the agent: started ahead, and again when it has died. */
import { AF_UNIX, SIGKILL, SOCK_STREAM } from '@pkg/sys/constants'
import { setNonBlocking } from '@pkg/sys/io'
import { socketpair } from '@pkg/sys/socket'
import { type Child, spawn } from '@pkg/sys/spawn'
import { Connection } from '../agent/connection.ts'
import type { ProgramEnd, RunRequest } from '../agent/protocol.ts'
import { GUEST_ENVIRONMENT } from '../guest-image/environment.ts'
import { Wire } from './fd-streams.ts'
import type { Reaper } from './reaper.ts'

interface Runner {
  readonly child: Child
  readonly connection: Connection
}

/** One runner at a time. */
export class RunnerProcess {
  readonly #reaper: Reaper
  readonly #script: string
  #runner: Runner | undefined

  /** @param script - the agent's own program */
  constructor(reaper: Reaper, script: string) {
    this.#reaper = reaper
    this.#script = script
    this.#runner = this.#start()
  }

  /** Has it carry out a function. @throws what that throws; Error how the runner died meanwhile */
  run(request: RunRequest): Promise<unknown> {
    this.#runner ??= this.#start()
    return this.#runner.connection.call('run', request)
  }

  /** Gives it new randomness. */
  async reseed(): Promise<unknown> {
    this.#runner ??= this.#start()
    return this.#runner.connection.call('reseed', null)
  }

  /** Kills it, whatever it is doing; the next function finds a new one. */
  end(): void {
    const runner = this.#runner
    this.#runner = undefined
    if (runner && !runner.child.pidfd.closed) runner.child.kill(SIGKILL)
  }

  #start(): Runner {
    const [ours, theirs] = socketpair(AF_UNIX, SOCK_STREAM, 0)
    using _ = theirs
    const child = spawn({
      file: process.execPath,
      args: [this.#script, '--runner'],
      env: { ...GUEST_ENVIRONMENT, ...inherited() },
      stdio: ['null', 'inherit', 'inherit'],
      fds: { 3: theirs },
    })
    setNonBlocking(ours, true)
    const wire = new Wire(ours)
    const connection = new Connection({ send: (bytes) => wire.send(bytes) })
    const runner: Runner = { child, connection }
    const ended = this.#reaper.ended(child.pid)
    const received = wire.receive((bytes) => connection.receive(bytes), true)
    const bury = async (): Promise<void> => {
      // Its answers first: it may have answered a moment before it died.
      const [end] = await Promise.all([ended, received])
      if (this.#runner === runner) this.#runner = undefined
      connection.reset(new Error(deathMessage(end)))
      child.pidfd.close()
      ours.close()
    }
    void bury()
    return runner
  }
}

function deathMessage({ code, signal }: ProgramEnd): string {
  const how = signal === null ? `exited with status ${code}` : `was ended by ${signal}`
  return `the process in the guest that ran the function ${how}, and the function with it`
}

function inherited(): Record<string, string> {
  const entries = Object.entries(process.env).filter(
    (entry): entry is [string, string] => entry[1] !== undefined,
  )
  return Object.fromEntries(entries)
}
