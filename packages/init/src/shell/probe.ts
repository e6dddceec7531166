/** Asking once whether something answers: a port, a web server or a program. */
import {
  AF_INET,
  MSG_DONTWAIT,
  MSG_NOSIGNAL,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  SOL_SOCKET,
  SO_ERROR,
} from '@pkg/sys/constants'
import { check, isSysError } from '@pkg/sys/errno'
import type { OwnedFd } from '@pkg/sys/fd'
import { reactor } from '@pkg/sys/reactor'
import { connect, getsockopt, recvfrom, sendto, socket } from '@pkg/sys/socket'
import type { CommandProbe, HttpProbe, Probe } from '../plan.ts'
import { describeExit } from '../core/restart.ts'
import type { ProgramUser } from './credentials.ts'
import type { Programs } from './programs.ts'

/** How one question is asked. */
export interface ProbeContext {
  /** Runs the programs of command probes. */
  readonly programs: Programs
  /** Who they run as. */
  readonly user: ProgramUser
  /** How long the answer may take. */
  readonly timeoutMs: number
  /** Aborted when nobody wants to know any more. */
  readonly signal: AbortSignal
}

/** Where the services of this machine are asked. */
const ADDRESS = '127.0.0.1'

/** The status line of an answer is far shorter. */
const STATUS_LINE_BYTES_MAX = 1024

/**
 * Asks once. Never rejects.
 *
 * @returns why the answer is bad, in words; null when it is good
 */
export async function ask(probe: Probe, context: ProbeContext): Promise<string | null> {
  if ('command' in probe) return await askProgram(probe, context)
  const { port } = 'tcp' in probe ? probe.tcp : probe.http
  const timeout = AbortSignal.timeout(context.timeoutMs)
  const signal = AbortSignal.any([context.signal, timeout])
  try {
    using connection = await connectTo(port, signal)
    return 'tcp' in probe ? null : await askHttp(connection, probe.http, signal)
  } catch (error) {
    if (timeout.aborted) return `${ADDRESS}:${port}: no answer within ${context.timeoutMs} ms`
    if (context.signal.aborted) return 'nobody asks any more'
    if (isSysError(error)) return `${ADDRESS}:${port}: ${error.code}`
    return error instanceof Error ? error.message : String(error)
  }
}

async function connectTo(port: number, signal: AbortSignal): Promise<OwnedFd> {
  const connection = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0)
  try {
    try {
      connect(connection, { family: AF_INET, address: ADDRESS, port })
    } catch (error) {
      if (!isSysError(error, 'EINPROGRESS')) throw error
      await reactor().writable(connection, { signal })
    }
    const errno = new Int32Array(getsockopt(connection, SOL_SOCKET, SO_ERROR).slice().buffer)[0] ?? 0
    check(-errno, 'connect')
    return connection
  } catch (error) {
    connection.close()
    throw error
  }
}

async function askHttp(
  connection: OwnedFd,
  { port, path, status }: HttpProbe['http'],
  signal: AbortSignal,
): Promise<string | null> {
  const request = `GET ${path} HTTP/1.1\r\nHost: ${ADDRESS}:${port}\r\nConnection: close\r\n\r\n`
  // Fits into the send buffer of a new connection, so it is taken whole at once.
  sendto(connection, new TextEncoder().encode(request), MSG_NOSIGNAL | MSG_DONTWAIT)
  const line = await statusLine(connection, signal)
  const [, answered] = /^HTTP\/1\.[01] (\d{3})(?: |\r|$)/.exec(line) ?? []
  if (answered === undefined) return `${ADDRESS}:${port}${path}: the answer is not HTTP/1`
  return Number(answered) === status ? null : `${ADDRESS}:${port}${path}: status ${answered}, not ${status}`
}

async function statusLine(connection: OwnedFd, signal: AbortSignal): Promise<string> {
  const memory = new Uint8Array(new ArrayBuffer(STATUS_LINE_BYTES_MAX))
  let sizeBytes = 0
  while (sizeBytes < memory.length) {
    await reactor().readable(connection, { signal })
    const { size } = recvfrom(connection, memory.subarray(sizeBytes), MSG_DONTWAIT)
    sizeBytes += size
    const newline = memory.subarray(0, sizeBytes).indexOf(0x0a)
    if (size === 0 || newline >= 0) break
  }
  return new TextDecoder('latin1').decode(memory.subarray(0, sizeBytes)).split('\n')[0] ?? ''
}

async function askProgram({ command }: CommandProbe, context: ProbeContext): Promise<string | null> {
  const [file = '', ...args] = command
  const { programs, user, timeoutMs, signal } = context
  let last = ''
  try {
    const startMs = performance.now()
    const end = await programs.run({ file, args, user, timeoutMs, signal, onLine: (line) => (last = line) })
    if (end.code === 0) return null
    const late = performance.now() - startMs >= timeoutMs
    const how = late ? `did not end within ${timeoutMs} ms` : describeExit(end)
    return `${file} ${how}${last === '' ? '' : `: ${last}`}`
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}
