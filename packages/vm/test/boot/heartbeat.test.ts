import { setTimeout as delay } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { Heartbeat } from '../../src/boot/heartbeat.ts'

test('Heartbeat finds an answer that came while this process was busy', async () => {
  let hangs = 0
  let answers = 0
  const heartbeat = new Heartbeat({
    // The answer lies in a pipe, as it were: it is read in the turn of the loop in which the timer fires.
    ping: async () => {
      const endMs = performance.now() + 200
      await delay(1)
      while (performance.now() < endMs);
      await new Promise((resolve) => setImmediate(resolve))
      answers += 1
    },
    hangTimeoutMs: 60,
    onHang: () => (hangs += 1),
  })
  await expect.poll(() => answers).toBeGreaterThan(1)
  heartbeat.stop()
  expect(hangs).toBe(0)
})

test('Heartbeat tells of a silence', async () => {
  const hung = Promise.withResolvers<void>()
  const heartbeat = new Heartbeat({
    ping: () => new Promise(() => {}),
    hangTimeoutMs: 50,
    onHang: hung.resolve,
  })
  // It does not keep the process by itself.
  const kept = setInterval(() => {}, 1000)
  await hung.promise
  clearInterval(kept)
  heartbeat.stop()
})
