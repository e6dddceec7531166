// The command's plumbing: streams, signals and the end, with programs and machines made of plain streams.
import { once } from 'node:events'
import { PassThrough, Readable, Writable } from 'node:stream'
import { describe, expect, onTestFinished, test } from 'vitest'
import { attach, type GuestProgram } from '../src/cli/attach.ts'
import { plan } from '../src/cli/plan.ts'
import { type CommandVm, run, type StartVm } from '../src/cli/run.ts'
import { takeSignals } from '../src/cli/signals.ts'
import type { ProgramEnd } from '../src/cli/status.ts'
import { EscapeKeys, takeTerminal } from '../src/cli/terminal.ts'
import { GuestTimeoutError } from '../src/errors.ts'
import { defaults, host } from './command-flags.ts'

/** A program whose other ends are in our hands. */
function fakeProgram(): {
  program: GuestProgram & { kill: (signal: string) => void; resize: () => void }
  end: (end: ProgramEnd) => void
  /** Ends it while something else keeps its output open. */
  leave: (end: ProgramEnd) => void
  lose: (error: Error) => void
  signals: string[]
} {
  const { promise, resolve, reject } = Promise.withResolvers<ProgramEnd>()
  // A program that nobody waits for any more may be lost.
  promise.catch(() => {})
  const signals: string[] = []
  const program = {
    stdin: new PassThrough(),
    stdout: new PassThrough(),
    stderr: new PassThrough(),
    exited: promise,
    kill: (signal: string) => void signals.push(signal),
    resize: () => {},
  }
  const end = (how: ProgramEnd): void => {
    program.stdout.end()
    program.stderr.end()
    resolve(how)
  }
  return { program, end, leave: resolve, lose: reject, signals }
}

/** Takes all that is written, slowly. */
class Slow extends Writable {
  readonly chunks: Buffer[] = []
  constructor() {
    super({ highWaterMark: 1024 })
  }
  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.chunks.push(chunk)
    setImmediate(done)
  }
  get bytes(): Buffer {
    return Buffer.concat(this.chunks)
  }
}

const bytes = Buffer.from(Array.from({ length: 300_000 }, (_, index) => (index * 7) % 256))

describe('attach()', () => {
  test('attach() carries every byte both ways, and the end of the input', async () => {
    const { program, end } = fakeProgram()
    const input = new PassThrough()
    const streams = { stdin: input, stdout: new Slow(), stderr: new Slow() }
    const attached = attach(program, streams)
    ;(program.stderr as PassThrough).end('warning')
    // What `cat` does.
    ;(program.stdin as PassThrough).pipe(program.stdout as PassThrough)
    input.end(bytes)
    await once(program.stdin, 'end')
    end({ code: 3, signal: null })
    expect(await attached).toEqual({ code: 3, signal: null })
    expect(streams.stdout.bytes.equals(bytes)).toBe(true)
    expect(streams.stderr.bytes.toString()).toBe('warning')
  })

  test('attach() tells the end of an input that forgets it when it is resumed', async () => {
    const { program, end } = fakeProgram()
    const input = new Readable({ read() {} })
    // As `process.stdin` of Bun 1.4.5 does it.
    input.on('resume', () => (input as Readable & { _undestroy(): void })._undestroy())
    const target = new Slow()
    const attached = attach(
      { ...program, stdin: target },
      { stdin: input, stdout: new Slow(), stderr: new Slow() },
    )
    // The second comes, and the end, while the program does not take more.
    for (const part of [bytes.subarray(0, 200_000), bytes.subarray(200_000), null]) input.push(part)
    await once(target, 'finish')
    expect(target.bytes.equals(bytes)).toBe(true)
    end({ code: 0, signal: null })
    expect(await attached).toEqual({ code: 0, signal: null })
  })

  test('attach() tells the end of an input that was over before', async () => {
    const { program, end } = fakeProgram()
    const input = new PassThrough()
    input.end()
    await once(input.resume(), 'end')
    const attached = attach(program, { stdin: input, stdout: new Slow(), stderr: new Slow() })
    await once((program.stdin as PassThrough).resume(), 'end')
    end({ code: 0, signal: null })
    expect(await attached).toEqual({ code: 0, signal: null })
  })

  test('attach() does not read faster than its output takes', async () => {
    const { program, end } = fakeProgram()
    let given = 0
    const endless = new Readable({
      read() {
        given += 1
        this.push(Buffer.alloc(1024))
      },
    })
    const stuck = new Writable({ highWaterMark: 1024, write() {} })
    void attach({ ...program, stdout: endless }, { stdin: new PassThrough(), stdout: stuck, stderr: stuck })
    await new Promise((resolve) => setTimeout(resolve, 50))
    expect(given).toBeLessThan(200)
    endless.destroy()
    end({ code: 0, signal: null })
  })

  test('attach() ends with the program, though its child keeps the output open', async () => {
    const { program, leave } = fakeProgram()
    const output = new Slow()
    const streams = { stdin: new PassThrough(), stdout: output, stderr: new Slow() }
    const attached = attach(program, streams, { quietMs: 100 })
    leave({ code: 0, signal: null })
    ;(program.stdout as PassThrough).write('late, but there')
    await attached
    expect(output.bytes.toString()).toBe('late, but there')
  })

  test('attach() ends with the program, though its child writes on for ever', async () => {
    const { program, leave } = fakeProgram()
    const streams = { stdin: new PassThrough(), stdout: new Slow(), stderr: new Slow() }
    const attached = attach(program, streams, { quietMs: 20 })
    const writing = setInterval(() => (program.stdout as PassThrough).write('.'), 5)
    onTestFinished(() => clearInterval(writing))
    leave({ code: 4, signal: null })
    expect(await attached).toEqual({ code: 4, signal: null })
  })

  test('attach() goes on when the program does not read, and tells it when nobody reads its output', async () => {
    const { program, end, signals } = fakeProgram()
    const input = new PassThrough()
    const output = new PassThrough()
    const attached = attach(program, { stdin: input, stdout: output, stderr: new Slow() })
    program.stdin.destroy(Object.assign(new Error('EPIPE'), { code: 'EPIPE' }))
    input.write('unread')
    output.destroy(Object.assign(new Error('EPIPE'), { code: 'EPIPE' }))
    await once(program.stdout, 'close')
    expect(signals).toEqual(['SIGPIPE'])
    end({ code: null, signal: 'SIGPIPE' })
    expect(await attached).toEqual({ code: null, signal: 'SIGPIPE' })
  })

  test('attach() rejects when the machine is gone', async () => {
    const { program, lose } = fakeProgram()
    const attached = attach(program, { stdin: new PassThrough(), stdout: new Slow(), stderr: new Slow() })
    program.stdout.destroy(new Error('gone'))
    lose(new Error('the guest panicked'))
    await expect(attached).rejects.toThrow('the guest panicked')
  })
})

describe('terminals and signals', () => {
  test('EscapeKeys want Ctrl-] three times within a second', () => {
    let escapes = 0
    const keys = new EscapeKeys(() => (escapes += 1))
    keys.typed(Buffer.from('\x1d\x1dx\x1d'), 0)
    keys.typed(Buffer.from('\x1d'), 900)
    keys.typed(Buffer.from('\x1d'), 2000)
    expect(escapes).toBe(0)
    keys.typed(Buffer.from('\x1d\x1d'), 2100)
    expect(escapes).toBe(1)
  })

  test('takeTerminal() gives the terminal back', () => {
    const modes: boolean[] = []
    const sizes: unknown[] = []
    const output = Object.assign(new PassThrough(), { columns: 100, rows: 30 })
    const input = { setRawMode: (mode: boolean) => void modes.push(mode) as never }
    {
      using _terminal = takeTerminal(input, output, (size) => sizes.push(size))
      output.emit('resize')
    }
    expect(modes).toEqual([true, false])
    expect(sizes).toEqual([{ columns: 100, rows: 30 }])
    expect(output.listenerCount('resize')).toBe(0)
  })

  test('takeSignals() passes signals on, and kills by the second one or when nobody is there', () => {
    let running = false
    const seen: string[] = []
    using _signals = takeSignals({
      forward: (signal) => running && seen.push(signal) > 0,
      kill: (signal) => seen.push(`kill by ${signal}`),
    })
    process.emit('SIGUSR1', 'SIGUSR1')
    process.emit('SIGHUP', 'SIGHUP')
    expect(seen).toEqual(['kill by SIGHUP'])
    running = true
    process.emit('SIGUSR1', 'SIGUSR1')
    process.emit('SIGINT', 'SIGINT')
    expect(seen).toEqual(['kill by SIGHUP', 'SIGUSR1', 'kill by SIGINT'])
  })
})

/** A machine of which we hold the program. */
function fakeVm(program: ReturnType<typeof fakeProgram>): CommandVm & { calls: string[] } {
  const calls: string[] = []
  return {
    calls,
    describe: () => 'fake',
    disks: { disk0: '/dev/sda' },
    forwards: [],
    spawn: async (file, _args, { cwd, env }) => {
      calls.push(`${file} in ${cwd} with ${env['SOLO_DISK0'] ?? ''}`)
      return program.program
    },
    finish: async () => void calls.push('finish'),
    kill: async () => {
      calls.push('kill')
      program.lose(new Error('killed'))
    },
  }
}

/** What is written to standard error until the test ends. */
function captureErrors(): string[] {
  const told: string[] = []
  const write = process.stderr.write.bind(process.stderr)
  onTestFinished(() => void (process.stderr.write = write))
  process.stderr.write = (text) => told.push(String(text)) > 0
  return told
}

function fail(error: Error): () => Promise<never> {
  return async () => {
    throw error
  }
}

describe('run()', () => {
  const planned = plan(defaults, ['job'], host)
  const streams = () => ({ stdin: new PassThrough(), stdout: new Slow(), stderr: new Slow() })

  test('run() gives the status of the program, and ends the machine in order', async () => {
    const program = fakeProgram()
    const vm = fakeVm(program)
    program.end({ code: 7, signal: null })
    expect(await run(async () => vm, planned, defaults, streams())).toBe(7)
    expect(vm.calls).toEqual(['job in /home/x with /dev/sda', 'finish', 'kill'])
  })

  test('run() passes a signal on, and cuts the power at the second', async () => {
    const program = fakeProgram()
    const vm = fakeVm(program)
    const spawned = Promise.withResolvers<void>()
    const ended = run(
      async () => ({
        ...vm,
        async spawn(...words) {
          setImmediate(spawned.resolve)
          return vm.spawn(...words)
        },
      }),
      planned,
      defaults,
      streams(),
    )
    await spawned.promise
    process.emit('SIGTERM', 'SIGTERM')
    expect(program.signals).toEqual(['SIGTERM'])
    process.emit('SIGTERM', 'SIGTERM')
    expect(await ended).toBe(143)
    expect(vm.calls).not.toContain('finish')
  })

  test('run() is ended by one signal when the program is over and its child writes on', async () => {
    const program = fakeProgram()
    const vm = fakeVm(program)
    const writing = setInterval(() => (program.program.stdout as PassThrough).write('.'), 5)
    onTestFinished(() => clearInterval(writing))
    // As a machine that is gone does it.
    const kill = async (): Promise<void> => void program.program.stdout.destroy(new Error('killed'))
    const ended = run(async () => ({ ...vm, kill }), planned, defaults, streams())
    ;(program.program.stderr as PassThrough).end()
    program.leave({ code: 0, signal: null })
    await new Promise((resolve) => setImmediate(() => setImmediate(resolve)))
    process.emit('SIGTERM', 'SIGTERM')
    expect(await ended).toBe(143)
    expect(program.signals).toEqual([])
  })

  test('run() ends a start by the first signal', async () => {
    const ended = run(
      ({ signal }) =>
        new Promise((_resolve, reject) => signal?.addEventListener('abort', () => reject(signal.reason))),
      planned,
      defaults,
      streams(),
    )
    process.emit('SIGINT', 'SIGINT')
    expect(await ended).toBe(130)
  })

  test('run() tells where a debugger can attach before the machine is up: it may wait for it', async () => {
    const told = captureErrors()
    const program = fakeProgram()
    program.end({ code: 0, signal: null })
    const start: StartVm = async ({ onGdb }) => {
      onGdb?.({ port: 4321, waiting: true })
      expect(told.join('')).toContain("gdb vmlinux -ex 'target remote 127.0.0.1:4321'")
      return fakeVm(program)
    }
    expect(await run(start, planned, defaults, streams())).toBe(0)
  })

  test.each([
    [Object.assign(new Error('no such file'), { code: 'ENOENT' }), 127],
    [Object.assign(new Error('permission denied'), { code: 'EACCES' }), 126],
    [new GuestTimeoutError('limit', 1, 'out of time', ''), 125],
  ])('run() tells %o in one line with a status of its own', async (error, status) => {
    const told = captureErrors()
    const vm = { ...fakeVm(fakeProgram()), spawn: fail(error) }
    expect(await run(async () => vm, planned, defaults, streams())).toBe(status)
    expect(told).toEqual([`solo vm: ${error.message}\n`])
  })
})
