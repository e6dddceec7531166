// Reactor as it comes: which waker it takes, what a wake-up costs, that it is fair, and that it works in compiled programs.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { runScript, scriptResult } from './child-script.ts'

test('Reactor is fair: one descriptor that is always ready holds up neither a thousand others nor timers', () => {
  const result = scriptResult(`
    import { EPOLLIN } from '@pkg/sys/constants'
    import { pipe2, write } from '@pkg/sys/io'
    import { Reactor } from '@pkg/sys/reactor'
    const reactor = new Reactor()
    const busy = pipe2(0)
    write(busy.write, new Uint8Array(1))
    let calls = 0
    const watch = reactor.watch(busy.read, EPOLLIN, () => calls++)
    const pipes = Array.from({ length: 1000 }, () => pipe2(0))
    const all = Promise.all(pipes.map((pipe) => reactor.readable(pipe.read)))
    for (const pipe of pipes) write(pipe.write, new Uint8Array(1))
    const before = calls
    await all
    const turns = calls - before
    const during = calls
    await Bun.sleep(20)
    watch[Symbol.dispose]()
    process.stdout.write(JSON.stringify({ turns, going: calls > during }))`)
  // 64 events a turn: the kernel serves them in the order in which they became ready, and puts the busy one last.
  expect(result).toEqual({ turns: expect.any(Number) as number, going: true })
  expect((result as { turns: number }).turns).toBeLessThan(40)
})

describe('Reactor without a choice', () => {
  const waiting = `
    import { reactor } from '@pkg/sys/reactor'
    import { spawn } from '@pkg/sys/spawn'
    using child = spawn({ file: '/bin/sleep', args: ['0.02'], env: {} })
    const { code } = await child.wait()
    const told = [reactor().wakerKind, code]`
  const onMain = `${waiting}
    process.stdout.write(JSON.stringify(told))`
  // What libuv's functions know is the main thread's loop.
  const onThread = `
    const worker = new Worker(URL.createObjectURL(new Blob([${JSON.stringify(`${waiting}; postMessage(told)`)}])))
    worker.onmessage = ({ data }) => {
      process.stdout.write(JSON.stringify(data))
      worker.terminate()
    }`
  const refused = ['strace', '-f', '-qq', '-e', 'trace=io_uring_setup', '-e']
  const wrapper = [...refused, 'inject=io_uring_setup:error=EPERM', '-o', '/dev/null']

  // Fails when another engine is pinned: see `knownVersions` of src/raw/turns.ts.
  test('takes the loop of the engine that the repository pins, whether io_uring is refused or not', () => {
    expect(scriptResult(onMain)).toEqual(['loop', 0])
    expect(scriptResult(onMain, { wrapper })).toEqual(['loop', 0])
  })

  test('takes io_uring on a thread of its own, and a worker where that is refused', () => {
    expect(scriptResult(onThread)).toEqual(['io_uring', 0])
    expect(scriptResult(onThread, { wrapper })).toEqual(['worker', 0])
  })

  test('leaves nothing in the engine’s loop: no descriptor, no event', () => {
    const result = scriptResult(`
      import { pipe2, write } from '@pkg/sys/io'
      import { Reactor } from '@pkg/sys/reactor'
      import { readdirSync, readFileSync } from 'node:fs'
      const loop = () => {
        const infos = readdirSync('/proc/self/fd').map((fd) => {
          try { return readFileSync('/proc/self/fdinfo/' + fd, 'utf8') } catch { return '' }
        })
        return infos.join('').split('tfd:').length
      }
      using pipe = pipe2(0)
      write(pipe.write, new Uint8Array(1))
      const use = async () => {
        for (let count = 0; count < 100; count++) {
          using reactor = new Reactor('loop')
          await reactor.readable(pipe.read)
        }
      }
      await use()
      const [before, fds] = [loop(), readdirSync('/proc/self/fd').length]
      await use()
      const more = [loop() - before, readdirSync('/proc/self/fd').length - fds]
      process.stdout.write(JSON.stringify(more))`)
    expect(result).toEqual([0, 0])
  })

  test('wakes by one system call of its own and the engine’s wait', () => {
    const folder = mkdtempSync(join(tmpdir(), 'sys-reactor-'))
    const traced = (wakes: number): string[] => {
      const output = join(folder, String(wakes))
      const code = `
        import { EPOLLIN } from '@pkg/sys/constants'
        import { eventfd2 } from '@pkg/sys/event'
        import { read, write } from '@pkg/sys/io'
        import { Reactor } from '@pkg/sys/reactor'
        const [reactor, event] = [new Reactor(), eventfd2(0, 0)]
        const value = new Uint8Array(BigUint64Array.of(1n).buffer)
        let left = ${wakes}
        const watch = reactor.watch(event, EPOLLIN, () => {
          read(event, value)
          if (--left === 0) watch[Symbol.dispose]()
          else write(event, value)
        })
        write(event, value)`
      // The main thread's calls alone: others compile and collect.
      expect(runScript(code, { wrapper: ['strace', '-qq', '-o', output] }).status).toBe(0)
      return readFileSync(output, 'utf8').split('\n')
    }
    const [few, many] = [traced(100), traced(600)]
    const perWake = (pattern: RegExp): number => {
      const count = (lines: string[]): number => lines.filter((line) => pattern.test(line)).length
      return (count(many) - count(few)) / 500
    }
    rmSync(folder, { recursive: true })
    expect(perWake(/^(read|write)\(/)).toBeCloseTo(2, 0)
    expect(perWake(/^epoll_pwait\(/)).toBeCloseTo(1, 0)
    expect(perWake(/^epoll_pwait2\(/)).toBeCloseTo(1, 0)
    expect(perWake(/^(epoll_ctl|io_uring_enter|recv|recvfrom|send|sendto)\(/)).toBeCloseTo(0, 0)
  })

  test('waits for one thing after another by arming it again, not by removing and adding it', () => {
    const folder = mkdtempSync(join(tmpdir(), 'sys-reactor-'))
    const output = join(folder, 'trace')
    const code = `
      import { pipe2, read, write } from '@pkg/sys/io'
      import { Reactor } from '@pkg/sys/reactor'
      const [reactor, pipe, one] = [new Reactor(), pipe2(0), new Uint8Array(1)]
      for (let count = 0; count < 100; count++) {
        write(pipe.write, one)
        await reactor.readable(pipe.read)
        read(pipe.read, one)
      }`
    expect(
      runScript(code, { wrapper: ['strace', '-qq', '-e', 'trace=epoll_ctl', '-o', output] }).status,
    ).toBe(0)
    const lines = readFileSync(output, 'utf8').split('\n')
    rmSync(folder, { recursive: true })
    expect(lines.filter((line) => line.includes('EPOLL_CTL_MOD')).length).toBeGreaterThanOrEqual(99)
    expect(lines.filter((line) => /EPOLL_CTL_(ADD|DEL)/.test(line)).length).toBeLessThan(20)
  })
})

test('Reactor works in a compiled program, by each of its wakers', () => {
  const folder = mkdtempSync(join(tmpdir(), 'sys-compiled-'))
  const source = join(folder, 'main.ts')
  const area = (name: string): string => join(import.meta.dirname, `../src/${name}.ts`)
  writeFileSync(
    source,
    `
    import { pipe2, write } from '${area('io')}'
    import { Reactor } from '${area('reactor')}'
    const kinds = []
    for (const kind of [undefined, 'loop', 'io_uring', 'worker']) {
      using reactor = new Reactor(kind)
      using pipe = pipe2(0)
      setTimeout(() => write(pipe.write, new Uint8Array(1)), 5)
      await reactor.readable(pipe.read)
      kinds.push(reactor.wakerKind)
    }
    process.stdout.write(JSON.stringify(kinds))`,
  )
  const output = join(folder, 'program')
  try {
    const built = spawnSync(process.execPath, ['build', '--compile', source, '--outfile', output], {
      encoding: 'utf8',
      timeout: 120_000,
    })
    expect(built.stderr, built.stdout).toBe('')
    const { status, stdout, stderr } = spawnSync(output, { cwd: '/', encoding: 'utf8', timeout: 30_000 })
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' })
    expect(JSON.parse(stdout)).toEqual(['loop', 'loop', 'io_uring', 'worker'])
  } finally {
    rmSync(folder, { recursive: true })
  }
})
