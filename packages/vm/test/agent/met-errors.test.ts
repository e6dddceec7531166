// Whose error of a guest's end counts as met: of who hears of it, and of nobody else.
import { expect, onTestFinished, test } from 'vitest'
import { GuestEndedError } from '../../src/errors.ts'
import { type HostAgent, startAgent } from './host-agent.ts'

async function freshAgent(): Promise<HostAgent> {
  const agent = await startAgent()
  onTestFinished(() => agent[Symbol.asyncDispose]())
  return agent
}

const gone = new GuestEndedError('gone')

test('errorMet stays false while a program runs whose end and output nobody looks at', async () => {
  const { client } = await freshAgent()
  await client.spawn('sleep', ['100'])
  client.end(gone)
  expect(client.errorMet).toBe(false)
})

test('errorMet stays false for output that was never read', async () => {
  const { client } = await freshAgent()
  const child = await client.spawn('echo', ['words'])
  await child.exited
  client.end(gone)
  expect(client.errorMet).toBe(false)
})

test('errorMet is true when a call fails by the end', async () => {
  const { client } = await freshAgent()
  const call = expect(client.run(() => new Promise(() => {}))).rejects.toBe(gone)
  client.end(gone)
  expect(client.errorMet).toBe(true)
  await call
})

test('errorMet is true when somebody waits for a program, before the end or after', async () => {
  const { client } = await freshAgent()
  const [before, after] = [await client.spawn('sleep', ['100']), await client.spawn('sleep', ['100'])]
  client.end(gone)
  await expect.poll(() => client.errorMet).toBe(false)
  await expect(after.exited).rejects.toBe(gone)
  expect(client.errorMet).toBe(true)

  const other = await freshAgent()
  const child = await other.client.spawn('sleep', ['100'])
  const waiting = expect(child.exited).rejects.toBe(gone)
  other.client.end(gone)
  expect(other.client.errorMet).toBe(true)
  await waiting
  expect(before.pid).toBeGreaterThan(0)
})

test('errorMet is true when somebody reads', async () => {
  const { client } = await freshAgent()
  const child = await client.spawn('sleep', ['100'])
  const reading = expect(child.stdout.toArray()).rejects.toBe(gone)
  await new Promise((resolve) => setImmediate(resolve))
  client.end(gone)
  expect(client.errorMet).toBe(true)
  await reading
})
