// Asking PID 1 over its control socket: a line of JSON each way.
import { connect, type Socket } from 'node:net'
import type { ControlAnswer, ControlRequest, MachineStatus } from '@pkg/init/control'

/**
 * PID 1 answers at once, or when services have been asked before an update (20 s at most, and 5 until what they started
 * is gone); who asked us waits 30 s.
 */
const ANSWER_MS = 28_000

/** The longest answer: the status of hundreds of services. */
const LINE_BYTES_MAX = 1024 * 1024

/** PID 1 said no. */
export class ControlRefused extends Error {
  override name = 'ControlRefused'
}

/** PID 1 cannot be asked. */
export class ControlUnreachable extends Error {
  override name = 'ControlUnreachable'
}

/**
 * Asks one thing.
 *
 * @returns the status, for a request that is answered with one
 * @throws ControlRefused with PID 1's reason; ControlUnreachable when it does not answer
 */
export async function askInit(path: string, request: ControlRequest): Promise<MachineStatus | undefined> {
  for await (const answer of answers(path, request, AbortSignal.timeout(ANSWER_MS))) {
    if (!answer.ok) throw new ControlRefused(answer.error)
    return answer.status
  }
  throw new ControlUnreachable(`${path}: PID 1 closed the connection without an answer`)
}

/**
 * The status now, and again whenever it changes.
 *
 * @throws ControlUnreachable when the connection ends
 */
export async function* watchInit(
  path: string,
  signal: AbortSignal,
): AsyncGenerator<MachineStatus, void, undefined> {
  for await (const answer of answers(path, { type: 'watch' }, signal)) {
    if (!answer.ok) throw new ControlRefused(answer.error)
    if (answer.status !== undefined) yield answer.status
  }
  if (!signal.aborted) throw new ControlUnreachable(`${path}: PID 1 closed the connection`)
}

async function* answers(
  path: string,
  request: ControlRequest,
  signal: AbortSignal,
): AsyncGenerator<ControlAnswer, void, undefined> {
  const socket: Socket = connect({ path })
  const stop = (): void => void socket.destroy(new Error('no answer in time'))
  signal.addEventListener('abort', stop, { once: true })
  try {
    socket.write(`${JSON.stringify(request)}\n`)
    const decoder = new TextDecoder()
    let rest = ''
    for await (const chunk of socket as AsyncIterable<Uint8Array>) {
      const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n')
      rest = lines.pop() ?? ''
      if (rest.length > LINE_BYTES_MAX) throw new Error(`a line of more than ${LINE_BYTES_MAX} bytes`)
      for (const line of lines) yield JSON.parse(line) as ControlAnswer
    }
  } catch (error) {
    throw new ControlUnreachable(`${path}: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    })
  } finally {
    signal.removeEventListener('abort', stop)
    socket.destroy()
  }
}
