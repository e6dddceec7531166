// Reactor, with each of its wakers.
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import {
  AF_UNIX,
  AT_FDCWD,
  CLOCK_MONOTONIC,
  EFD_NONBLOCK,
  EPOLLHUP,
  EPOLLIN,
  EPOLLOUT,
  O_NONBLOCK,
  O_RDONLY,
  SOCK_NONBLOCK,
  SOCK_STREAM,
} from '../src/constants.ts'
import { eventfd2, timerfd_create, timerfd_settime } from '../src/event.ts'
import type { OwnedFd } from '../src/fd.ts'
import { openat } from '../src/fs.ts'
import { dup3, pipe2, read, write } from '../src/io.ts'
import { pidfd_open } from '../src/process.ts'
import { Reactor } from '../src/reactor.ts'
import { socketpair } from '../src/socket.ts'
import { spawn } from '../src/spawn.ts'
import { runScript, scriptResult } from './child-script.ts'

const one = new Uint8Array(1)
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

describe.each(['loop', 'io_uring', 'worker'] as const)('Reactor by %s', (kind) => {
  let reactor: Reactor
  beforeEach(() => {
    reactor = new Reactor(kind)
    expect(reactor.wakerKind).toBe(kind)
  })
  afterEach(() => reactor[Symbol.dispose]())

  test('readable() and writable() tell of a pipe', async () => {
    using pipe = pipe2(O_NONBLOCK)
    await reactor.writable(pipe.write)
    let told = false
    const waiting = reactor.readable(pipe.read).then(() => (told = true))
    for (let count = 0; count < 20; count++) await turn()
    expect(told).toBe(false)
    write(pipe.write, one)
    await waiting
    while (true) {
      try {
        write(pipe.write, new Uint8Array(65_536))
      } catch {
        break
      }
    }
    const writable = reactor.writable(pipe.write)
    const buffer = new Uint8Array(1 << 20)
    read(pipe.read, buffer)
    await writable
  })

  test('tells the end of a pipe and of a socket', async () => {
    using pipe = pipe2(0)
    const [first, second] = socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0)
    using left = first
    const ends = Promise.all([reactor.readable(pipe.read), reactor.readable(left)])
    pipe.write.close()
    second.close()
    await ends
    expect(read(pipe.read, one)).toBe(0)
    expect(read(left, one)).toBe(0)
  })

  test('tells of timers, event counters and the end of a process', async () => {
    using timer = timerfd_create(CLOCK_MONOTONIC)
    timerfd_settime(timer, 0, { valueNs: 1_000_000n })
    using event = eventfd2(0, EFD_NONBLOCK)
    using child = spawn({ file: '/bin/sleep', args: ['0.02'], env: {} })
    using pidfd = pidfd_open(child.pid)
    const all = Promise.all([timer, event, pidfd].map((fd) => reactor.readable(fd)))
    write(event, new Uint8Array(BigUint64Array.of(1n).buffer))
    await all
    expect((await child.wait()).code).toBe(0)
  })

  test('calls again while data is left unread', async () => {
    using pipe = pipe2(0)
    write(pipe.write, new Uint8Array(3))
    await new Promise<void>((resolve) => {
      let calls = 0
      const watch = reactor.watch(pipe.read, EPOLLIN, () => {
        read(pipe.read, one)
        calls++
        if (calls < 3) return
        watch[Symbol.dispose]()
        resolve()
      })
    })
  })

  test('serves two watches of one descriptor, each with its events', async () => {
    const [first, second] = socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0)
    using left = first
    using right = second
    const writable = reactor.writable(left)
    const readable = [reactor.readable(left), reactor.readable(left)]
    await writable
    write(right, one)
    await Promise.all(readable)
    read(left, one)
    const again = reactor.readable(left)
    write(right, one)
    await again
  })

  test('tells hang-up whatever was asked for', async () => {
    using pipe = pipe2(0)
    pipe.read.close()
    const EPOLLERR = 8
    const events = await new Promise<number>((resolve) => {
      const watch = reactor.watch(pipe.write, 0, (told) => {
        watch[Symbol.dispose]()
        resolve(told)
      })
    })
    expect(events & (EPOLLHUP | EPOLLERR)).not.toBe(0)
  })

  test('serves 300 descriptors at once', async () => {
    const pipes = Array.from({ length: 300 }, () => pipe2(0))
    const all = Promise.all(pipes.map((pipe) => reactor.readable(pipe.read)))
    for (const pipe of pipes.toReversed()) write(pipe.write, one)
    await all
    for (const pipe of pipes) pipe[Symbol.dispose]()
  })

  test('does not call a watch that another callback of the same turn has disposed', async () => {
    using first = pipe2(0)
    using second = pipe2(0)
    let calls = 0
    const watches: Disposable[] = []
    const onEvents = (): void => {
      calls++
      for (const watch of watches) watch[Symbol.dispose]()
    }
    watches.push(reactor.watch(first.read, EPOLLIN, onEvents), reactor.watch(first.read, EPOLLIN, onEvents))
    watches.push(reactor.watch(second.read, EPOLLIN, onEvents))
    write(first.write, one)
    write(second.write, one)
    using other = pipe2(0)
    for (let count = 0; count < 3; count++) {
      write(other.write, one)
      await reactor.readable(other.read)
    }
    expect(calls).toBe(1)
  })

  test('gives up with the reason of an AbortSignal, before and while waiting', async () => {
    using pipe = pipe2(0)
    const reason = new Error('mine')
    await expect(reactor.readable(pipe.read, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason)
    const controller = new AbortController()
    const given = reactor.readable(pipe.read, { signal: controller.signal })
    const kept = reactor.readable(pipe.read)
    controller.abort(reason)
    await expect(given).rejects.toBe(reason)
    write(pipe.write, one)
    await kept
  })

  test('refuses regular files, folders and what is no descriptor', async () => {
    using file = openat(AT_FDCWD, import.meta.filename, O_RDONLY)
    expect(() => reactor.watch(file, EPOLLIN, () => {})).toThrow('epoll_ctl: EPERM')
    await expect(reactor.readable(file)).rejects.toMatchObject({ code: 'EPERM' })
    expect(() => reactor.watch(1_000_000, EPOLLIN, () => {})).toThrow('EBADF')
    expect(() => reactor.watch(-1, EPOLLIN, () => {})).toThrow(RangeError)
    file.close()
    expect(() => reactor.watch(file, EPOLLIN, () => {})).toThrow('is closed')
  })

  test('watches a number again whose file was closed under its watch', async () => {
    using first = pipe2(0)
    using second = pipe2(0)
    let stale = 0
    const watch = reactor.watch(first.read, EPOLLIN, () => stale++)
    dup3(second.read, first.read.fd, 0)
    const again = reactor.readable(first.read)
    write(second.write, one)
    await again
    watch[Symbol.dispose]()
    expect(stale).toBe(0)
    const third = reactor.readable(first.read)
    await third
  })

  test('watches a descriptor again after another one was closed under its watch', async () => {
    using pipe = pipe2(0)
    const gone = eventfd2(0, 0)
    const watch = reactor.watch(gone, EPOLLIN, () => {})
    gone.close()
    watch[Symbol.dispose]()
    for (let count = 0; count < 3; count++) {
      write(pipe.write, one)
      const { promise, resolve } = Promise.withResolvers<void>()
      using _ = reactor.watch(pipe.read, EPOLLIN, () => resolve())
      await promise
      read(pipe.read, one)
    }
  })

  test('starts and stops any number of times', async () => {
    using pipe = pipe2(0)
    for (let count = 0; count < 12; count++) {
      write(pipe.write, one)
      await reactor.readable(pipe.read)
      read(pipe.read, one)
      // Over the time after which an idle waker stops, every third round.
      if (count % 3 === 0) await Bun.sleep(4)
    }
  })

  test('wakes for data that came while it was stopped', async () => {
    using pipe = pipe2(0)
    reactor.watch(pipe.read, EPOLLIN, () => {})[Symbol.dispose]()
    await Bun.sleep(5)
    write(pipe.write, one)
    await reactor.readable(pipe.read)
    await expect(reactor.writable(pipe.write)).resolves.toBeUndefined()
    expect(EPOLLOUT).toBe(4)
  })
})

test('Reactor does not tell a watch that began in the same turn what was told before', async () => {
  using reactor = new Reactor()
  using first = pipe2(0)
  using second = pipe2(0)
  const told: string[] = []
  let again: Promise<void> | undefined
  const begin = (from: { read: OwnedFd }, other: { read: OwnedFd }, name: string): void => {
    const watch = reactor.watch(from.read, EPOLLIN, () => {
      // Whichever is first takes the other's data, and waits for more of it.
      watch[Symbol.dispose]()
      for (const end of watches) end[Symbol.dispose]()
      told.push(name)
      read(other.read, one)
      again = reactor.readable(other.read).then(() => void told.push('again'))
    })
    watches.push(watch)
  }
  const watches: Disposable[] = []
  begin(first, second, 'one')
  begin(second, first, 'one')
  write(first.write, one)
  write(second.write, one)
  await Bun.sleep(5)
  for (let count = 0; count < 20; count++) await turn()
  expect(told).toEqual(['one'])
  write(first.write, one)
  write(second.write, one)
  await again
  expect(told).toEqual(['one', 'again'])
})

test('Reactor serves again what stays ready, in any mix of watches and waits', async () => {
  using reactor = new Reactor()
  using pipe = pipe2(0)
  write(pipe.write, one)
  const waits = () => Promise.all([reactor.readable(pipe.read), reactor.readable(pipe.read)])
  await waits()
  await waits()
  let calls = 0
  const watch = reactor.watch(pipe.read, EPOLLIN, () => calls++)
  await waits()
  await waits()
  expect(calls).toBeGreaterThan(1)
  watch[Symbol.dispose]()
  const before = calls
  await waits()
  expect(calls).toBe(before)
  // A wait that is given up leaves the other one of the descriptor in place.
  read(pipe.read, one)
  const controller = new AbortController()
  const given = reactor.readable(pipe.read, { signal: controller.signal })
  const kept = reactor.readable(pipe.read)
  controller.abort(new Error('enough'))
  await expect(given).rejects.toThrow('enough')
  write(pipe.write, one)
  await kept
})

const useOf = (kind: string): string => `
  import { EPOLLIN } from '@pkg/sys/constants'
  import { pipe2, read, write } from '@pkg/sys/io'
  import { Reactor } from '@pkg/sys/reactor'
  const reactor = new Reactor('${kind}')
  const pipe = pipe2(0)
  const one = new Uint8Array(1)
  const done = (value) => process.stdout.write(JSON.stringify(value))
`

describe.each(['loop', 'io_uring', 'worker'])('a process with a Reactor by %s', (kind) => {
  test('ends when nothing is watched', () => {
    const { status, signal, stdout } = runScript(`${useOf(kind)}
      write(pipe.write, one)
      await reactor.readable(pipe.read)
      done('end')`)
    expect({ status, signal, stdout }).toEqual({ status: 0, signal: null, stdout: '"end"' })
  })

  test('stays alive while something is watched', () => {
    const result = scriptResult(`${useOf(kind)}
      setTimeout(() => write(pipe.write, one), 30).unref()
      const watch = reactor.watch(pipe.read, EPOLLIN, () => { watch[Symbol.dispose](); done('told') })`)
    expect(result).toBe('told')
  })

  test('uses next to no processor time while it waits', () => {
    const result = scriptResult(`${useOf(kind)}
      const watch = reactor.watch(pipe.read, EPOLLIN, () => {})
      await Bun.sleep(200)
      const before = process.cpuUsage()
      await Bun.sleep(1000)
      const { user, system } = process.cpuUsage(before)
      watch[Symbol.dispose]()
      done((user + system) / 1000)`)
    // Whoever asks again and again takes all of the second; an emulated processor may want a seventh for the timer alone.
    expect(result).toBeLessThan(300)
  })

  test('goes on after a callback that throws, which is an uncaught exception', () => {
    const result = scriptResult(`${useOf(kind)}
      const uncaught = []
      process.on('uncaughtException', (error) => uncaught.push(error.message))
      const other = pipe2(0)
      const first = reactor.watch(pipe.read, EPOLLIN, () => { first[Symbol.dispose](); throw new Error('callback') })
      write(pipe.write, one)
      write(other.write, one)
      await reactor.readable(other.read)
      while (uncaught.length === 0) await new Promise((resolve) => setImmediate(resolve))
      done(uncaught)`)
    expect(result).toEqual(['callback'])
  })

  test('can be disposed while it waits', () => {
    const result = scriptResult(`${useOf(kind)}
      reactor.watch(pipe.read, EPOLLIN, () => {})
      await Bun.sleep(20)
      reactor[Symbol.dispose]()
      done('disposed')`)
    expect(result).toBe('disposed')
  })
})
