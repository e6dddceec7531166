/** Starting programs and connections in the guest: what is asked of the agent, and the streams that come of it. */
import { Duplex, type Writable } from 'node:stream'
import type { AgentLine } from './line.ts'
import type { GuestProcess, GuestSpawnOptions } from './process.ts'
import type { ConnectRequest, GuestAddress, ProgramEnd, SpawnRequest } from './protocol.ts'
import type { Incoming } from './streams.ts'

/** Starts a program. @throws as `AgentClient.spawn` */
export async function startProgram(
  line: AgentLine,
  file: string,
  args: readonly string[],
  options: GuestSpawnOptions,
): Promise<GuestProcess> {
  const { stdin: wantsStdin = 'pipe', ipc: wantsIpc = false, tty, ...place } = options
  const { connection } = line
  const numbers = Array.from({ length: 5 }, () => connection.nextNumber()) as Five
  const [input, output, errors, fromGuest, toGuest] = numbers
  const request: SpawnRequest = {
    ...place,
    file,
    args,
    ...(tty === undefined ? { stderr: errors } : { tty }),
    ...(wantsStdin === 'pipe' ? { stdin: input } : {}),
    stdout: output,
    ...(wantsIpc ? { ipc: { fromGuest, toGuest } } : {}),
  }
  const stdin = connection.writer(input)
  const stdout = connection.reader(output)
  const stderr = connection.reader(errors)
  // A program that ends before it has read all is no error of ours; its status tells.
  stdin.on('error', () => {})
  if (wantsStdin === 'null') stdin.end()
  if (tty !== undefined) stderr.finish()
  const ipc = wantsIpc ? join(connection.reader(fromGuest), connection.writer(toGuest)) : undefined
  let pid: number
  try {
    pid = (await line.call('spawn', request)) as number
  } catch (error) {
    for (const stream of [stdin, stdout, stderr, ipc]) stream?.destroy()
    throw error
  }
  // Not spread: `exited` must only be looked at by the caller.
  return Object.assign(programOf(line, pid), {
    stdin,
    stdout,
    stderr,
    ...(ipc ? { ipc } : {}),
    resize: async (columns: number, rows: number) => void (await line.call('resize', { pid, columns, rows })),
  })
}

/** A program that runs, whoever started it. */
export function programOf(line: AgentLine, pid: number): Pick<GuestProcess, 'pid' | 'exited' | 'kill'> {
  let isAsked = false
  let failure: unknown
  const exited = line.call('wait', { pid }, () => isAsked) as Promise<ProgramEnd>
  // Asked by ourselves, for the end to be known in time: who never looks at it has not heard of a failure.
  exited.catch((error: unknown) => (failure = error))
  return {
    pid,
    get exited() {
      isAsked = true
      line.meet(failure)
      return exited
    },
    kill: async (signal = 'SIGTERM', { group = false } = {}) =>
      void (await line.call('kill', { pid, signal, group })),
  }
}

/** Connects to a socket that somebody listens on in the guest. @throws as `AgentClient.connect` */
export async function openConnection(line: AgentLine, address: GuestAddress): Promise<Duplex> {
  const { connection } = line
  const [fromGuest, toGuest] = [connection.nextNumber(), connection.nextNumber()]
  const stream = join(connection.reader(fromGuest), connection.writer(toGuest))
  try {
    await line.call('connect', { address, fromGuest, toGuest } satisfies ConnectRequest)
    return stream
  } catch (error) {
    stream.destroy()
    throw error
  }
}

type Five = [number, number, number, number, number]

function join(readable: Incoming, writable: Writable): Duplex {
  // Bun's types do not know this form of the argument, which Node has had since 16.8.
  const duplex = Duplex.from({ readable, writable } as unknown as NodeJS.ReadWriteStream)
  // A broken pipe, when the program has ended; its status tells more.
  duplex.on('error', () => {})
  // The duplex listens to its parts, and we to the duplex.
  readable.isHeeded = () => duplex.listenerCount('error') > 1
  return duplex
}
