// A program in the machine as if it ran here: its standard streams are ours, byte by byte, and none is read faster
// than the other side takes it.
import type { Readable, Writable } from 'node:stream'
import { deferred } from '../host/deferred.ts'
import type { ProgramEnd } from './status.ts'
import { EscapeKeys } from './terminal.ts'

/** A program in the machine, as the agent gives it. */
export interface GuestProgram {
  readonly stdin: Writable
  readonly stdout: Readable
  readonly stderr: Readable
  /** Resolves when it has ended; rejects when the machine has. */
  readonly exited: Promise<ProgramEnd>
  kill(signal: 'SIGPIPE'): Promise<void> | void
}

/** Our own standard streams. */
export interface HostStreams {
  /** A terminal, a pipe or a socket may be let go of without being closed, which a shell that reads on needs. */
  readonly stdin: Readable & { unref?(): unknown }
  readonly stdout: Writable
  readonly stderr: Writable
}

/** Options of {@link attach}. */
export interface AttachOptions {
  /** Called when Ctrl-] is typed three times; only where a terminal is raw. */
  readonly onEscape?: () => void
  /** See {@link QUIET_MS}. */
  readonly quietMs?: number
}

/**
 * How long output may keep still, in milliseconds, after the program's end, while somebody still holds its pipes:
 * what it left in the background. All that the program itself wrote is on its way by then and must not
 * be lost because the guest, or its host, is busy.
 */
const QUIET_MS = 2000

/**
 * Somebody in the background who writes for ever is not waited for: so many quiet times in which our output keeps up,
 * or so many bytes, which is more than pipes and windows hold of the program's own.
 */
const SETTLE_TURNS = 5
const SETTLE_BYTES = 16 << 20

/**
 * Connects a program to our streams until it has ended and its output is written.
 *
 * @throws what `exited` rejects with; what our output fails with, but for a reader that went away
 */
export async function attach(
  program: GuestProgram,
  host: HostStreams,
  options: AttachOptions = {},
): Promise<ProgramEnd> {
  const detachInput = feed(host.stdin, program.stdin, options)
  const { quietMs = QUIET_MS } = options
  const onLost = (): void => void Promise.resolve(program.kill('SIGPIPE')).catch(() => {})
  const outputs = [
    forward(program.stdout, host.stdout, quietMs, onLost),
    forward(program.stderr, host.stderr, quietMs, onLost),
  ]
  // Looked at after the program's end; a rejection before that must not count as unhandled.
  for (const { finished } of outputs) finished.catch(() => {})
  try {
    const end = await program.exited
    for (const output of outputs) output.settle()
    await Promise.all(outputs.map(({ finished }) => finished))
    return end
  } finally {
    detachInput()
    for (const output of outputs) output.detach()
  }
}

/**
 * Gives our input to the program, until either ends. Not by pipe(), which pauses the input while the program does not
 * read: `process.stdin` of Bun forgets its end when that comes meanwhile (1.4.5: resuming undoes it), and the program
 * would wait for ever for more.
 */
function feed(input: HostStreams['stdin'], target: Writable, { onEscape }: AttachOptions): () => void {
  const keys = onEscape === undefined ? undefined : new EscapeKeys(onEscape)
  const advance = (): void => {
    while (!target.writableNeedDrain) {
      const bytes = input.read() as Uint8Array | null
      if (bytes === null) return
      keys?.typed(bytes)
      target.write(bytes)
    }
  }
  const end = (): void => void target.end()
  const detach = (): void => {
    input.off('readable', advance)
    input.off('end', end)
    target.off('drain', advance)
    // Nobody reads on: a reader that waits in the kernel would keep this process.
    input.unref?.()
  }
  input.on('readable', advance)
  input.on('end', end)
  // A closed terminal or a lost pipe (EIO, ECONNRESET) is the end of the input.
  input.on('error', end)
  target.on('drain', advance)
  // A program may end, or close its input, before it has read all of ours. That is its own affair.
  target.on('error', detach)
  if (input.readableEnded) end()
  else advance()
  return detach
}

interface Output {
  /** Resolves when the program's stream has ended, or was quiet after {@link Output.settle}; all of it is written. */
  readonly finished: Promise<void>
  /** The program has ended: from now on a quiet stream counts as a finished one. */
  settle(): void
  detach(): void
}

function forward(source: Readable, target: Writable, quietMs: number, onLost: () => void): Output {
  const { promise: finished, resolve, reject } = deferred<void>()
  let chunks = 0
  let written = 0
  let hasEnded = false
  /** Left of {@link SETTLE_BYTES}. */
  let leftBytes = Infinity
  let timer: NodeJS.Timeout | undefined
  const onTargetError = (error: NodeJS.ErrnoException): void => {
    // The agent reads on, lest a host that went away stop the program, which must hear of it by the signal then.
    source.destroy()
    onLost()
    if (error.code === 'EPIPE') resolve()
    else reject(error)
  }
  const onDrain = (): void => void source.resume()
  const onWritten = (error?: Error | null): void => {
    if (error) return onTargetError(error)
    written += 1
    if (hasEnded && written === chunks) resolve()
  }
  target.on('error', onTargetError)
  target.on('drain', onDrain)
  // Not by pipe(), which does not know that the last piece has been written: it may fail (ENOSPC).
  source.on('data', (bytes: Uint8Array) => {
    if (hasEnded) return
    chunks += 1
    leftBytes -= bytes.length
    if (!target.write(bytes, onWritten)) source.pause()
    if (leftBytes <= 0) end()
  })
  const end = (): void => {
    hasEnded = true
    if (written === chunks) resolve()
  }
  source.on('end', end)
  // The machine is gone: `exited` says so, with more to tell.
  source.on('error', () => resolve())
  const settle = (turns = SETTLE_TURNS): void => {
    const before = chunks
    timer = setTimeout(() => {
      const keepsUp = written === chunks
      if (keepsUp && (before === chunks || turns <= 1)) resolve()
      else settle(keepsUp ? turns - 1 : turns)
    }, quietMs)
  }
  return {
    finished,
    settle() {
      leftBytes = SETTLE_BYTES
      settle()
    },
    detach() {
      clearTimeout(timer)
      target.off('error', onTargetError)
      target.off('drain', onDrain)
      // A late EPIPE of what is still on its way is nobody's concern any more.
      target.on('error', () => {})
      source.destroy()
    },
  }
}
