import { createServer, type Server } from 'node:http'
import { createServer as createTcpServer, type AddressInfo } from 'node:net'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { validatePlan, type Probe } from '@pkg/init/plan'
import type { ProgramRun } from '../src/shell/programs.ts'
import { ask } from '../src/shell/probe.ts'
import { parseNotification } from '../src/shell/notify.ts'
import { prober, type ProbeAnswer } from '../src/shell/prober.ts'

const programs = {
  run: ({ file }: ProgramRun) => {
    if (file === '/missing') throw new Error('spawn /missing: execve: ENOENT')
    return Promise.resolve({ pid: 1, code: file === '/good' ? 0 : 3, signal: null })
  },
  ended: () => Promise.reject(new Error('a probe waits for its own programs only')),
  reaped: () => false,
}
const user = { uid: 0, gid: 0, groups: [] }

let server: Server
let port = 0

beforeAll(async () => {
  server = createServer((request, response) => {
    if (request.url === '/hangs') return
    response.writeHead(request.url === '/well' ? 200 : 503).end('x'.repeat(10_000))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  port = (server.address() as AddressInfo).port
})

afterAll(() => {
  server.closeAllConnections()
  server.close()
})

async function answer(probe: Probe, timeoutMs = 30_000): Promise<string | null> {
  return await ask(probe, { programs, user, timeoutMs, signal: new AbortController().signal })
}

async function closedPort(): Promise<number> {
  const closed = createTcpServer()
  await new Promise<void>((resolve) => closed.listen(0, '127.0.0.1', resolve))
  const { port: number } = closed.address() as AddressInfo
  await new Promise((resolve) => closed.close(resolve))
  return number
}

test('ask() finds a port that accepts connections, and says why another does not', async () => {
  expect(await answer({ tcp: { port } })).toBeNull()
  const closed = await closedPort()
  expect(await answer({ tcp: { port: closed } })).toBe(`127.0.0.1:${closed}: ECONNREFUSED`)
})

test('ask() wants the status that the plan names', async () => {
  const http = (path: string, status = 200): Probe => ({ http: { port, path, status } })
  expect(await answer(http('/well'))).toBeNull()
  expect(await answer(http('/ill'))).toBe(`127.0.0.1:${port}/ill: status 503, not 200`)
  expect(await answer(http('/ill', 503))).toBeNull()
})

test('ask() gives up a server that accepts and never answers, and one that speaks something else', async () => {
  expect(await answer({ http: { port, path: '/hangs', status: 200 } }, 100)).toBe(
    `127.0.0.1:${port}: no answer within 100 ms`,
  )
  const chatter = createTcpServer((connection) => connection.end('SSH-2.0-x\r\n'))
  await new Promise<void>((resolve) => chatter.listen(0, '127.0.0.1', resolve))
  const other = (chatter.address() as AddressInfo).port
  const asked = await answer({ http: { port: other, path: '/', status: 200 } })
  expect(asked).toBe(`127.0.0.1:${other}/: the answer is not HTTP/1`)
  chatter.close()
})

test('ask() takes the exit status of a program for its answer', async () => {
  expect(await answer({ command: ['/good'] })).toBeNull()
  expect(await answer({ command: ['/bad'] })).toBe('/bad exited with status 3')
  expect(await answer({ command: ['/missing'] })).toBe('spawn /missing: execve: ENOENT')
})

const services = [
  { name: 'a', command: ['/a'], uid: 1, gid: 1, ready: { command: ['/bad'] } },
  { name: 'b', command: ['/b'], uid: 1, gid: 1, health: { command: ['/good'], intervalMs: 1 } },
]
const [a, b] = validatePlan({ version: 1, services }).services

test('prober() asks again and again until it is told to stop, and never after that', async () => {
  const answers: ProbeAnswer[] = []
  const asking = prober(programs, (each) => void answers.push(each))
  if (a === undefined || b === undefined) throw new Error('two services are planned')
  asking.start(a, 7, 'ready')
  asking.start(b, 8, 'health')
  await expect.poll(() => answers.filter(({ service }) => service === 'b').length).toBeGreaterThan(3)
  await expect.poll(() => answers.filter(({ service }) => service === 'a').length).toBeGreaterThan(1)
  expect(answers).toContainEqual({ service: 'b', pid: 8, probe: 'health', failure: null })
  expect(answers).toContainEqual({
    service: 'a',
    pid: 7,
    probe: 'ready',
    failure: '/bad exited with status 3',
  })
  asking.stop('a')
  asking.stop('b')
  const { length } = answers
  await new Promise((resolve) => setTimeout(resolve, 150))
  expect(answers).toHaveLength(length)
})

test('parseNotification() takes what sd_notify(3) defines, the last STATUS, and no control characters', () => {
  expect(parseNotification('READY=1\nSTATUS=one\nSTATUS=t\x1bwo\nMAINPID=3')).toEqual({
    ready: true,
    watchdog: false,
    note: 't wo',
  })
  expect(parseNotification('READY=10\nWATCHDOG=1')).toEqual({ ready: false, watchdog: true, note: null })
  expect(parseNotification(`STATUS=${'x'.repeat(500)}`).note).toHaveLength(200)
})
