/** Workers in a booted guest, by its agent. */
import type { Duplex, Readable } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import { EMULATED_BUN } from '../guest-image/environment.ts'
import { GuestEndedError, GuestRebootedError, type VmError } from '../errors.ts'
import { GuestWorkerError } from './errors.ts'
import { LISTEN, connectRetrying, loadWarmWorker, WARM_SOCKET } from './warm.ts'
import { workerStart, type StartedProgram } from './runtime.ts'
import type { WarmWorker, WorkerExit, WorkerProcess, WorkerStart, WorkerTransport } from './transport.ts'

/** A process of a guest; `GuestProcess` of the agent's client. */
export interface WorkerGuestProcess {
  /** Its process id in the guest. */
  readonly pid: number
  /** What it prints. */
  readonly stdout: Readable
  /** What it complains of. */
  readonly stderr: Readable
  /** Its descriptor 3, if it was asked for. */
  readonly ipc?: Duplex | undefined
  /** How it ended; rejects when the guest ended with it. */
  readonly exited: Promise<WorkerExit>
  /** Sends it a signal. */
  kill(signal: NodeJS.Signals): Promise<void>
}

/** What the pool needs of a guest: `Vm` of `boot` has it. */
export interface WorkerGuest extends AsyncDisposable {
  /** What it runs in. */
  readonly backend: string
  /** Its end. */
  readonly exited: Promise<{ readonly reason: string; readonly error?: VmError }>
  /** As `AgentClient.spawn`. */
  spawn(
    file: string,
    args: string[],
    options: { env: Record<string, string>; cwd?: string; stdin: 'null'; ipc: boolean },
  ): Promise<WorkerGuestProcess>
  /** As `AgentClient.program`. */
  program(pid: number): Pick<WorkerGuestProcess, 'exited' | 'kill'>
  /** As `AgentClient.connect`. */
  connect(path: string): Promise<Duplex>
  /** As `AgentClient.writeFile`. */
  writeFile(path: string, data: string): Promise<void>
  /** As `Vm.device`: the path of a disk. */
  device(name: string): Promise<string>
  /** As `AgentClient.runWith`. */
  runWith<A extends unknown[], R>(
    options: { pid1: boolean },
    fn: (...args: A) => R | Promise<R>,
    ...args: A
  ): Promise<Awaited<R>>
}

const BUN = '/bin/bun'

/** Workers of one guest. */
export class VmTransport implements WorkerTransport {
  readonly #guest: WorkerGuest
  readonly #loadedKey: string | undefined
  readonly #env: Readonly<Record<string, string>>
  #isTaken = false

  /**
   * @param guest - a booted guest
   * @param env - environment variables that tell the tests of it
   * @param loadedKey - key of the program that a worker in it has loaded, if there is one
   */
  constructor(guest: WorkerGuest, env: Readonly<Record<string, string>>, loadedKey?: string) {
    this.#guest = guest
    this.#env = env
    this.#loadedKey = loadedKey
  }

  async spawnWorker(start: WorkerStart): Promise<WorkerProcess> {
    const child = await startBun(this.#guest, { ...start, env: { ...start.env, ...this.#env } }, {})
    const { ipc, stdout, stderr } = child
    if (ipc === undefined) throw new Error("the guest's agent gave no stream to the worker")
    const kill = async (): Promise<void> => {
      // It may have ended already, and its guest with it.
      await Promise.allSettled([child.kill('SIGKILL'), child.exited])
    }
    return { stream: ipc, stdout, stderr, exited: explained(this.#guest, child.exited), kill }
  }

  async warmWorker(program: StartedProgram): Promise<WarmWorker | undefined> {
    if (this.#isTaken || this.#loadedKey !== warmKey(program)) return undefined
    this.#isTaken = true
    return connectWarm(this.#guest, this.#env)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#guest[Symbol.asyncDispose]()
  }
}

/** Names a program as it is started: what a saved guest has loaded must be just that. */
export function warmKey({ runtime, env, folder }: StartedProgram): string {
  return JSON.stringify([runtime.key, env, folder])
}

/** Starts a worker that listens, in a guest that is about to be saved, and has it load its program. */
export async function prepareWarmWorker(guest: WorkerGuest, program: StartedProgram): Promise<void> {
  await startBun(guest, workerStart(program), LISTEN)
  await loadWarmWorker(program, await connectWarm(guest))
}

/** Has the agent itself, PID 1, become the worker. */
export async function preparePid1Worker(guest: WorkerGuest, program: StartedProgram): Promise<void> {
  const path = '/run/solo-vitest-bootstrap.ts'
  await guest.writeFile(path, program.runtime.bootstrap)
  await guest.runWith(
    { pid1: true },
    async (bootstrap: string, env: Record<string, string>) => {
      Object.assign(process.env, env)
      await import(bootstrap)
    },
    path,
    { ...program.env, ...backendOf(guest), ...LISTEN, SOLO_VITEST_STAYS: '1' },
  )
  await loadWarmWorker(program, await connectWarm(guest))
}

/** With `LISTEN` the worker waits on a socket; else it has its stream as descriptor 3. */
function startBun(
  guest: WorkerGuest,
  { args, env }: WorkerStart,
  listen: Readonly<Record<string, string>>,
): Promise<WorkerGuestProcess> {
  return guest.spawn(BUN, [...args], {
    env: { ...(guest.backend === 'namespace' ? {} : EMULATED_BUN), ...env, ...backendOf(guest), ...listen },
    stdin: 'null',
    ipc: listen !== LISTEN,
  })
}

/** Tests ask for it: see `skipUnless`. */
function backendOf({ backend }: WorkerGuest): Record<string, string> {
  return { SOLO_VM_BACKEND: backend }
}

/** PID 1's end is its guest's. */
const PID_1 = 1

async function connectWarm(
  guest: WorkerGuest,
  env: Readonly<Record<string, string>> = {},
): Promise<WarmWorker> {
  const stream = await connectRetrying(() => guest.connect(WARM_SOCKET))
  let program: Pick<WorkerGuestProcess, 'exited' | 'kill'> | undefined
  let tellEnd: (end: Promise<WorkerExit>) => void = () => {}
  const ended = new Promise<WorkerExit>((resolve) => (tellEnd = resolve))
  return {
    stream,
    env,
    exited: explained(guest, Promise.race([guestEnd(guest), ended])),
    kill: async () => {
      stream.destroy()
      await Promise.allSettled([program?.kill('SIGKILL')])
    },
    adopt(pid) {
      if (pid === PID_1) return
      program = guest.program(pid)
      tellEnd(program.exited)
    },
  }
}

async function guestEnd({ exited }: WorkerGuest): Promise<never> {
  const { reason, error } = await exited
  throw error ?? new GuestEndedError(`the guest ended (${reason}) in the middle of a test file`)
}

/**
 * How long after a worker's end by SIGKILL the guest's may follow, in milliseconds: a kernel that has told of a trouble
 * is given 2 s to say more of it.
 */
const OOM_KILL_MS = 3000

/** Why a worker ended. A reboot takes it along: no test file can go on after it. */
async function explained(guest: WorkerGuest, exited: Promise<WorkerExit>): Promise<WorkerExit> {
  try {
    const end = await exited
    // A guest's own kernel kills for want of memory; the guest is ended for that, with an error that says so.
    if (end.signal === 'SIGKILL' && guest.backend !== 'namespace')
      await Promise.race([guestEnd(guest), delay(OOM_KILL_MS, undefined, { ref: false })])
    return end
  } catch (error) {
    if (!(error instanceof GuestRebootedError)) throw error
    throw new GuestWorkerError(
      'the guest rebooted in the middle of a test file, and the file, which ran in it, with it. ' +
        'A test that reboots its machine runs on the host: boot() of @pkg/vm, then vm.reboot()',
      error.console,
      error,
    )
  }
}
