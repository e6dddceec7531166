/**
 * The first program of a worker in a guest: `bun -e <this text>`. It takes the files that the host sends, imports the
 * worker proper from among them and hands it the stream. It stands alone: nothing else is in the guest yet.
 *
 * The stream is fd 3; or, with SOLO_VITEST_LISTEN, whoever connects to that Unix socket. A worker that is saved in a
 * snapshot listens: its files are there and its program is loaded when the restored guest's host comes.
 */
import { chmodSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { brotliDecompressSync } from 'node:zlib'
import type { GuestFile, WorkerProgram } from '../frames.ts'
import type { WorkerChannel, WorkerModule } from './worker.ts'

interface Socket {
  write(bytes: Uint8Array): number
  end(): void
}
interface Handlers {
  open?(socket: Socket): void
  data(socket: Socket, chunk: Uint8Array): void
  drain(socket: Socket): void
  end(socket: Socket): void
  close(socket: Socket): void
  error(socket: Socket, error: Error): void
}
declare const Bun: {
  connect(options: { fd: number; socket: Handlers }): Promise<Socket>
  listen(options: { unix: string; socket: Handlers }): unknown
}

const listening = process.env['SOLO_VITEST_LISTEN']
// In the agent, as PID 1, this program is a guest itself: the machine ends, not the process.
const stays = process.env['SOLO_VITEST_STAYS'] !== undefined
// The tests may overwrite these.
const exit = stays ? () => {} : process.exit.bind(process)
const reportError = process.stderr.write.bind(process.stderr)
const endOutput = [process.stdout, process.stderr].map(
  (stream) => stream.end.bind(stream) as (done: () => void) => void,
)
/**
 * Who looks after errors that nobody catches, before there are tests: the agent, when this is PID 1. vitest reports
 * such errors of tests only where it is the only one that listens for them.
 */
const guards = (['uncaughtException', 'unhandledRejection'] as const).flatMap((event) =>
  process.listeners(event as 'uncaughtException').map((listener) => [event, listener] as const),
)

let socket: Socket | undefined
let unsent: Uint8Array[] = []
let chunks: Uint8Array[] = []
let buffered = 0
let needed = 5
let onFrame: ((kind: number, body: Uint8Array) => void) | undefined
let waiting: [number, Uint8Array][] = []
/** Whether tests have been asked for on this stream. */
let busy = false
let isEnding = false

function flush(): void {
  while (socket && unsent.length > 0) {
    const first = unsent[0] as Uint8Array
    const written = socket.write(first)
    if (written < first.length) {
      unsent[0] = first.subarray(Math.max(0, written))
      return
    }
    unsent.shift()
  }
}

const channel: WorkerChannel = {
  send(bytes) {
    unsent.push(bytes)
    if (unsent.length === 1) flush()
  },
  onFrame(listener) {
    onFrame = listener
    for (const [kind, body] of waiting) listener(kind, body)
    waiting = []
  },
  takeErrors() {
    for (const [event, listener] of guards) process.off(event, listener)
  },
  exit,
}

/** What nobody catches is not to end PID 1 when the tests are over, and vitest's listeners perhaps away. */
function giveErrorsBack(): void {
  channel.takeErrors()
  for (const [event, listener] of guards) process.on(event, listener)
}

/** Ends the worker for an error of its own, which the host is told as its last words. */
function fail(error: unknown): void {
  const text = `${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`
  if (listening === undefined) reportError(text)
  else sendOutput(2, Buffer.from(text))
  // PID 1 stays, but its worker is of no use any more.
  if (stays) socket?.end()
  exit(1)
}

function writeFiles(compressed: Uint8Array): void {
  const body = brotliDecompressSync(compressed)
  const headerLength = new DataView(body.buffer, body.byteOffset).getUint32(0, true)
  const files = JSON.parse(new TextDecoder().decode(body.subarray(4, 4 + headerLength))) as GuestFile[]
  let offset = 4 + headerLength
  for (const { path, content } of files) {
    mkdirSync(dirname(path), { recursive: true })
    rmSync(path, { force: true, recursive: typeof content !== 'number' })
    if (typeof content === 'number') {
      writeFileSync(path, body.subarray(offset, offset + content))
      // Native add-ons and programs of packages must be executable.
      chmodSync(path, 0o755)
      offset += content
    } else symlinkSync(content.link, path)
  }
}

async function load(body: Uint8Array): Promise<void> {
  const program = JSON.parse(new TextDecoder().decode(body)) as WorkerProgram
  mkdirSync(program.folder, { recursive: true })
  process.chdir(program.folder)
  const worker = (await import(program.module)) as WorkerModule
  await worker.start(channel, program)
}

function handle(kind: number, body: Uint8Array): void {
  busy ||= kind === 3
  if (kind === 1) writeFiles(body)
  else if (kind === 2) load(body).catch(fail)
  else if (onFrame) onFrame(kind, body)
  else waiting.push([kind, body.slice()])
}

function receive(chunk: Uint8Array): void {
  chunks.push(chunk.slice())
  buffered += chunk.length
  if (buffered < needed) return
  let bytes: Uint8Array = chunks.length === 1 ? (chunks[0] as Uint8Array) : Buffer.concat(chunks)
  while (bytes.length >= 5) {
    needed = 5 + new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true)
    if (bytes.length < needed) break
    const [kind, body] = [bytes[4] as number, bytes.subarray(5, needed)]
    bytes = bytes.subarray(needed)
    needed = 5
    handle(kind, body)
  }
  chunks = [bytes]
  buffered = bytes.length
}

/** The other end went away: with it, whoever wants to know of the tests. */
function gone(closed: Socket, code: number): void {
  // One that is closed late is not the one that has come since.
  if (socket !== undefined && closed !== socket) return
  giveErrorsBack()
  if (listening === undefined || busy) return exitFlushed(code)
  socket = undefined
  unsent = []
  chunks = []
  buffered = 0
  needed = 5
}

/** Output that nobody has read yet is not lost: a pipe takes 64 KiB, the rest waits in this process. */
function exitFlushed(code: number): void {
  if (stays || isEnding) return
  isEnding = true
  let left = endOutput.length
  for (const end of endOutput)
    end(() => {
      left -= 1
      if (left === 0) exit(code)
    })
}

const handlers: Handlers = {
  open(opened) {
    socket = opened
    flush()
  },
  data(_, chunk) {
    try {
      receive(chunk)
    } catch (error) {
      fail(error)
    }
  },
  drain: flush,
  end: (closed) => gone(closed, 0),
  close: (closed) => gone(closed, 0),
  error(closed, error) {
    reportError(`${error.message}\n`)
    gone(closed, 1)
  },
}

function sendOutput(fd: 1 | 2, bytes: Uint8Array): void {
  const head = new Uint8Array(6)
  new DataView(head.buffer).setUint32(0, bytes.length + 1, true)
  head.set([10, fd], 4)
  channel.send(Buffer.concat([head, bytes]))
}

/** Nobody reads the standard output of a worker that was there before its host. */
function redirectOutput(): void {
  for (const [fd, stream] of [
    [1, process.stdout],
    [2, process.stderr],
  ] as const)
    stream.write = (data: string | Uint8Array, encoding?: unknown, done?: unknown) => {
      sendOutput(fd, typeof data === 'string' ? Buffer.from(data) : data)
      const callback = typeof encoding === 'function' ? encoding : done
      if (typeof callback === 'function') queueMicrotask(callback as () => void)
      return true
    }
}

if (listening === undefined) {
  socket = await Bun.connect({ fd: 3, socket: handlers })
  flush()
} else {
  redirectOutput()
  mkdirSync(dirname(listening), { recursive: true })
  Bun.listen({ unix: listening, socket: handlers })
}
