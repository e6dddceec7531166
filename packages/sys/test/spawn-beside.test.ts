// spawnBeside(): steps that sleep while this thread goes on.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import * as c from '../src/constants.ts'
import { openat } from '../src/fs.ts'
import { flock, pipe2, write } from '../src/io.ts'
import { prctl_get_dumpable } from '../src/prctl.ts'
import type { Program } from '../src/program.ts'
import { spawn, spawnBeside, type SpawnOptions } from '../src/spawn.ts'
import { readAll } from './child-output.ts'
import { scriptResult } from './child-script.ts'
import { leftOpen, zombieCount } from './left-behind.ts'

let folder = ''
let fifo = ''
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'solo-beside-'))
  fifo = join(folder, 'fifo')
  expect(spawnSync('mkfifo', [fifo]).status).toBe(0)
})
afterEach(() => rmSync(folder, { recursive: true }))

/** A step that sleeps until somebody opens the FIFO for writing, and makes it the child's standard input. */
const opensFifo = (child: Program): void => {
  const opened = child.call('openat', c.AT_FDCWD, fifo, c.O_RDONLY, 0)
  child.call('dup3', opened, 0, 0)
}

const cat: SpawnOptions = { file: '/bin/cat', env: {}, stdio: ['null', 'pipe', 'inherit'], setup: opensFifo }

/** Wakes who waits to read the FIFO. */
const openForWriting = (): ReturnType<typeof openat> => openat(c.AT_FDCWD, fifo, c.O_RDWR)

const turns = async (count: number): Promise<void> => {
  for (let turn = 0; turn < count; turn++) await new Promise((resolve) => setTimeout(resolve, 1))
}

test('spawnBeside() lets timers run while a step sleeps, and resolves when the program runs', async () => {
  let started = false
  const starting = spawnBeside(cat).finally(() => (started = true))
  await turns(30)
  expect(started).toBe(false)
  const writer = openForWriting()
  using child = await starting
  write(writer, new TextEncoder().encode('through the fifo'))
  // Only now: a FIFO that nobody has open forgets what was written.
  writer.close()
  expect(await readAll(child.stdout ?? 0)).toBe('through the fifo')
  expect((await child.wait()).code).toBe(0)
})

test('spawnBeside() does not keep others from spawning: each child has memory of its own', async () => {
  const sleeping = Array.from({ length: 20 }, (_, index) =>
    spawnBeside({ ...cat, file: '/bin/sh', args: ['-c', `echo ${index}`] }),
  )
  for (let count = 0; count < 50; count++) {
    using child = spawn({ file: '/bin/sh', args: ['-c', `exit ${count}`], env: { much: 'x'.repeat(3000) } })
    expect((await child.wait()).code).toBe(count)
    Bun.gc(false)
  }
  using _writer = openForWriting()
  const children = await Promise.all(sleeping)
  const said = await Promise.all(children.map((child) => readAll(child.stdout ?? 0)))
  expect(said).toEqual(children.map((_, index) => `${index}\n`))
  for (const child of children) {
    expect((await child.wait()).code).toBe(0)
    child[Symbol.dispose]()
  }
})

test('spawnBeside() names the step that failed, and leaves nothing', async () => {
  const before = zombieCount()
  const setup = (child: Program): void => {
    child.call(
      'clock_nanosleep',
      c.CLOCK_MONOTONIC,
      0,
      new Uint8Array(BigInt64Array.of(0n, 1_000_000n).buffer),
      null,
    )
    child.call('chdir', join(folder, 'none'))
  }
  const open = await leftOpen(async () => {
    await expect(spawnBeside({ ...cat, setup })).rejects.toThrow(
      /^spawn \/bin\/cat: chdir\(".*none"\): ENOENT/,
    )
    await expect(spawnBeside({ ...cat, setup: () => {}, file: '/none' })).rejects.toMatchObject({
      code: 'ENOENT',
    })
    await expect(spawnBeside({ ...cat, file: 'none' })).rejects.toThrow('not in PATH')
    await expect(spawnBeside({ ...cat, namespaces: c.CLONE_VM })).rejects.toThrow(RangeError)
  })
  expect(open).toBe(0)
  expect(zombieCount()).toBe(before)
})

test('spawnBeside() kills a child whose step sleeps when it is aborted', async () => {
  const before = zombieCount()
  const reason = new Error('enough')
  const open = await leftOpen(async () => {
    await expect(spawnBeside(cat, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason)
    for (let count = 0; count < 20; count++) {
      const controller = new AbortController()
      const starting = spawnBeside(cat, { signal: controller.signal })
      setTimeout(() => controller.abort(reason), count % 4)
      await expect(starting).rejects.toBe(reason)
    }
  })
  expect(open).toBe(0)
  expect(zombieCount()).toBe(before)
  const children = readdirSync('/proc/self/task').flatMap((task) =>
    readFileSync(`/proc/self/task/${task}/children`, 'utf8').trim().split(' ').filter(Boolean),
  )
  for (const child of children) expect(readFileSync(`/proc/${child}/cmdline`, 'utf8')).not.toContain('cat')
})

test('spawnBeside() is not misled by a step that takes the place of its pipe', async () => {
  using other = pipe2(0)
  let started = false
  const setup = (child: Program): void => {
    // Wherever the pipe is, another file lies there before the step that sleeps.
    for (let fd = other.write.fd + 1; fd < other.write.fd + 12; fd++)
      child.call('dup3', other.write.fd, fd, c.O_CLOEXEC)
    opensFifo(child)
  }
  const starting = spawnBeside({ ...cat, setup }).finally(() => (started = true))
  await turns(30)
  expect(started).toBe(false)
  openForWriting().close()
  using child = await starting
  expect((await child.wait()).code).toBe(0)
})

// Needs root: ids of others are mapped.
test('spawnBeside() maps ranges of users, and gives back what a change of user takes', async () => {
  const ranges = [
    { inside: 0, outside: 100_000, count: 1000 },
    { inside: 5000, outside: 300_000, count: 2 },
  ]
  const dumpable = prctl_get_dumpable()
  const starting = spawnBeside({
    ...cat,
    file: '/bin/sh',
    args: ['-c', 'id -u; cat /proc/self/uid_map'],
    env: { PATH: '/usr/bin:/bin' },
    namespaces: c.CLONE_NEWUSER,
    ...{ uidMap: ranges, gidMap: ranges, uid: 5001, gid: 7, groups: [] },
    setup(child) {
      child.call(
        'clock_nanosleep',
        c.CLOCK_MONOTONIC,
        0,
        new Uint8Array(BigInt64Array.of(0n, 20_000_000n).buffer),
        null,
      )
    },
  })
  let count = 0
  const timer = setInterval(() => count++, 1)
  using child = await starting
  clearInterval(timer)
  expect(count).toBeGreaterThan(1)
  const lines = (await readAll(child.stdout ?? 0))
    .split('\n')
    .map((line) => line.trim().split(/ +/).join(' '))
  expect(lines).toEqual(['5001', '0 100000 1000', '5000 300000 2', ''])
  expect((await child.wait()).code).toBe(0)
  expect(prctl_get_dumpable()).toBe(dumpable)
})

test('spawnBeside() waits for a lock that this process holds', async () => {
  const lock = join(folder, 'lock')
  writeFileSync(lock, '')
  using held = openat(c.AT_FDCWD, lock, c.O_RDWR)
  flock(held, c.LOCK_EX)
  const starting = spawnBeside({
    ...{ file: '/bin/true', env: {} },
    setup(child) {
      child.call('flock', child.call('openat', c.AT_FDCWD, lock, c.O_RDWR, 0), c.LOCK_EX)
    },
  })
  await turns(10)
  flock(held, c.LOCK_UN)
  using child = await starting
  expect((await child.wait()).code).toBe(0)
})

// Needs root: ids of others are mapped.
test('oomScoreAdj is of the child alone, where this thread is not suspended too', async () => {
  const own = (): string => readFileSync('/proc/self/oom_score_adj', 'utf8')
  const before = own()
  const sleeper = { file: '/bin/sleep', args: ['60'], env: {} }
  const map = [{ inside: 0, outside: 0 }]
  using first = await spawnBeside({ ...sleeper, oomScoreAdj: 500 })
  using second = spawn({
    ...sleeper,
    ...{ oomScoreAdj: 700, namespaces: c.CLONE_NEWUSER, uidMap: map, gidMap: map },
  })
  using third = await spawnBeside(sleeper)
  expect(own()).toBe(before)
  const scores = [first, second, third].map(({ pid }) =>
    readFileSync(`/proc/${pid}/oom_score_adj`, 'utf8').trim(),
  )
  expect(scores).toEqual(['500', '700', before.trim()])
  for (const child of [first, second, third]) {
    child.kill(c.SIGKILL)
    await child.wait()
  }
  // One that has ended already has no score that counts.
  using short = await spawnBeside({ file: '/bin/true', env: {}, oomScoreAdj: 300 })
  expect((await short.wait()).code).toBe(0)
})

// Needs root: users are changed.
test('children of several Workers at once take nothing from this process', () => {
  const source = `
    import { spawn } from '${join(import.meta.dirname, '../src/spawn.ts')}'
    for (let count = 0; count < 300; count++) {
      using child = spawn({ file: '/bin/true', env: {}, uid: 65534, gid: 65534, groups: [] })
      await child.wait()
    }
    postMessage('done')`
  const found = scriptResult(`
    import { prctl_get_dumpable } from '@pkg/sys/prctl'
    const found = [prctl_get_dumpable()]
    const url = URL.createObjectURL(new Blob([${JSON.stringify(source)}]))
    const workers = [0, 1, 2].map(() => new Worker(url))
    await Promise.all(workers.map((one) => new Promise((resolve, reject) => {
      one.onmessage = resolve
      one.onerror = (event) => reject(new Error(event.message))
    })))
    process.stdout.write(JSON.stringify([...found, prctl_get_dumpable()]))
    process.exit(0)`)
  expect(found).toEqual([true, true])
})
