// A boot that stands still is told from one that is slow, and tried once more with a word of warning.
import { expect, test } from 'vitest'
import { BootStalledError, startUnstalled, watchBoot, watched } from '../../src/boot/stall.ts'

const console = { tail: () => 'the last line' }

/** A machine whose guest has read so many times when it is asked. */
function machineOf(reads: () => number): Parameters<typeof watchBoot>[0] {
  // As QEMU answers: qapi/block-core.json, query-blockstats.
  const stats = (): unknown => [{ stats: { rd_operations: reads() } }, { stats: { rd_operations: 1 } }]
  return { qmp: { execute: () => Promise.resolve(stats()) }, console }
}

test('watchBoot() lets a guest go on that reads, however slowly', async () => {
  let count = 0
  const over = new AbortController()
  const machine = machineOf(() => {
    // Several times as long as it may stand still.
    if (++count === 20) over.abort()
    return count
  })
  const watching = watchBoot(machine, over.signal, { stallMs: 30, intervalMs: 10 })
  await expect(watching).rejects.toMatchObject({ name: 'AbortError' })
  expect(count).toBe(20)
})

test.each([
  ['before its root is there', () => 0, /stood still for 0\.03 s, after 1 reads/],
  ['in the middle', () => 42, /after 43 reads of its root/],
])('watchBoot() tells of a guest that stands still %s', async (_, reads, message) => {
  const error = await watchBoot(machineOf(reads), AbortSignal.timeout(30_000), {
    stallMs: 30,
    intervalMs: 10,
  }).catch((cause: unknown) => cause)
  expect(error).toBeInstanceOf(BootStalledError)
  expect(error).toMatchObject({ message: expect.stringMatching(message), console: 'the last line' })
})

test('watched() gives what it waits for, and ends the watch', async () => {
  let signal: AbortSignal | undefined
  const watch = (given: AbortSignal): Promise<never> => {
    signal = given
    return new Promise(() => {})
  }
  expect(await watched(Promise.resolve('up'), watch)).toBe('up')
  expect(signal?.aborted).toBe(true)
})

test('startUnstalled() starts anew once, unwatched, and warns with the console of the first try', async () => {
  const warned = new Promise<Error>((resolve) => {
    process.once('warning', resolve)
  })
  const tries: boolean[] = []
  const steps: string[] = []
  const start = (isWatched: boolean): Promise<string> => {
    tries.push(isWatched)
    return isWatched
      ? Promise.reject(new BootStalledError('it stood still', 'at ttyS0'))
      : Promise.resolve('up')
  }
  expect(await startUnstalled(start, (step) => steps.push(step))).toBe('up')
  expect(tries).toEqual([true, false])
  expect(steps).toEqual(['booting anew, as the guest stood still'])
  expect(await warned).toMatchObject({
    code: 'SOLO_BOOT_STALLED',
    message: expect.stringMatching(/^a guest is booted anew: it stood still\n[^]*at ttyS0/),
  })
})

test('startUnstalled() passes on what else went wrong, at the first try', async () => {
  let tries = 0
  const start = (): Promise<never> => {
    tries += 1
    return Promise.reject(new Error('no room'))
  }
  await expect(startUnstalled(start, undefined)).rejects.toThrow('no room')
  expect(tries).toBe(1)
})
