import { existsSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { parseControlRequest } from '@pkg/init/control'
import { assert, property, string } from 'fast-check'
import { expect, test } from 'vitest'
import { startPid1, type Pid1 } from './namespace/pid1.ts'
import { Client } from './support/control-client.ts'

const READY = /init: ready in \d+ ms: /
const gid = process.getgid?.() ?? 0
const nobody = { uid: 65_534, gid: 65_534 }
const web = { name: 'web', command: ['/bin/sleep', '60'], ...nobody }

async function start(services: readonly object[] = [web], more: object = {}): Promise<Pid1> {
  const pid1 = startPid1(services, { control: { gid }, ...more })
  await pid1.waitFor(READY)
  return pid1
}

test('PID 1 tells how its services are, to root and the group of the plan alone', async () => {
  await using pid1 = await start([
    web,
    { ...web, name: 'cron', required: false, restart: 'never', command: ['/bin/false'] },
  ])
  using client = new Client(pid1.run)
  await pid1.waitFor(/init: cron: failed/)
  const status = await client.status()
  expect(status).toMatchObject({
    ready: true,
    shutdown: null,
    gate: null,
    boot: { slot: null, clock: 'machine' },
  })
  expect(status.services.map(({ name }) => name)).toEqual(['web', 'cron', 'driver'])
  expect(status.services[0]).toMatchObject({
    status: 'running',
    ready: true,
    healthy: null,
    starts: 1,
    crashes: 0,
  })
  expect(status.services[1]).toMatchObject({
    status: 'failed',
    required: false,
    pid: null,
    crashes: 1,
    exit: { code: 1, signal: null },
  })
  const { mode, gid: group } = statSync(join(pid1.run, 'control.sock'))
  expect(mode & 0o777).toBe(0o660)
  expect(group).toBe(gid)
})

test('PID 1 stops, starts and restarts a service on request, and says which name it does not know', async () => {
  await using pid1 = await start()
  using client = new Client(pid1.run)
  const first = (await client.status()).services[0]?.pid
  expect(await client.ask({ type: 'restart', service: 'web' })).toEqual({ ok: true })
  await expect
    .poll(async () => (await client.status()).services[0])
    .toMatchObject({ status: 'running', starts: 2 })
  expect((await client.status()).services[0]).toMatchObject({ crashes: 0 })
  expect((await client.status()).services[0]?.pid).not.toBe(first)
  await client.ask({ type: 'stop', service: 'web' })
  await expect.poll(async () => (await client.status()).services[0]?.status).toBe('stopped')
  await client.ask({ type: 'start', service: 'web' })
  await expect.poll(async () => (await client.status()).services[0]?.status).toBe('running')
  expect(await client.ask({ type: 'stop', service: 'wbe' })).toEqual({
    ok: false,
    error: 'service: there is none of the name "wbe"',
  })
  await pid1.waitFor(/init: control: restart "web", asked by process \d+ of user \d+$/)
})

test('PID 1 tells those who watch of every change', async () => {
  await using pid1 = await start()
  using watcher = new Client(pid1.run)
  using client = new Client(pid1.run)
  await watcher.ask({ type: 'watch' })
  await client.ask({ type: 'stop', service: 'web' })
  const statuses = (): (string | undefined)[] =>
    watcher.answers.map((answer) => (answer.ok ? answer.status?.services[0]?.status : 'error'))
  await expect.poll(statuses).toContain('stopped')
  expect(statuses()[0]).toBe('running')
})

test('PID 1 shuts down on request', async () => {
  await using pid1 = await start()
  using client = new Client(pid1.run)
  expect(await client.ask({ type: 'shutdown', kind: 'reboot' })).toEqual({ ok: true })
  expect(await pid1.ended).toEqual({ code: null, signal: 'SIGHUP' })
})

test('PID 1 says why it cannot commit, roll back or reset where nothing is counted', async () => {
  await using pid1 = await start()
  using client = new Client(pid1.run)
  for (const [type, error] of [
    ['commit', 'there is no trial: nothing is counted'],
    ['rollback', 'there is no other slot: nothing is counted'],
    ['factory-reset', 'there is no data partition'],
  ] as const) {
    expect(await client.ask({ type })).toEqual({ ok: false, error })
  }
})

test('PID 1 bounds requests, connections and what waits for a peer that does not read', async () => {
  await using pid1 = await start()
  using endless = new Client(pid1.run)
  expect(await endless.ask('x'.repeat(5000))).toEqual({
    ok: false,
    error: 'a request of more than 4096 bytes',
  })
  await expect.poll(() => endless.closed).toBe(true)

  using deaf = new Client(pid1.run)
  deaf.socket.pause()
  const flood = '{"type":"status"}\n'.repeat(20_000)
  deaf.socket.write(flood)
  // The peer would read again at its end only; PID 1 must have given it up by then.
  await expect.poll(() => deaf.socket.destroyed || deaf.closed).toBe(true)

  const many = Array.from({ length: 40 }, () => new Client(pid1.run))
  await expect.poll(() => many.filter(({ closed }) => closed).length).toBeGreaterThanOrEqual(8)
  for (const client of many) client[Symbol.dispose]()
  using client = new Client(pid1.run)
  await expect.poll(async () => (await client.status()).ready).toBe(true)
})

test('PID 1 of a machine writes boot.json', async () => {
  await using pid1 = startPid1([web], {}, ['--mode', 'machine', '--console', '-'])
  await pid1.waitFor(READY)
  pid1.tell(`cat ${pid1.run}/boot.json`)
  await pid1.waitFor(/driver: {3}"counterFloor": 0,$/)
  await pid1.waitFor(/driver: {3}"slot": null,$/)
  expect(existsSync(join(pid1.run, 'boot.json'))).toBe(true)
})

test('parseControlRequest() takes what the protocol has, and says what is wrong with the rest', () => {
  expect(parseControlRequest('{"type":"shutdown","kind":"reboot","force":true}')).toEqual({
    ...{ type: 'shutdown', kind: 'reboot', force: true },
  })
  expect(() => parseControlRequest('{"type":"shutdown","kind":"reboot","force":1}')).toThrow(
    'force: expected true or false',
  )
  expect(parseControlRequest('{"type":"shutdown","kind":"power-off"}')).toEqual({
    type: 'shutdown',
    kind: 'power-off',
  })
  for (const [line, message] of [
    ['', 'expected one line of JSON'],
    ['[]', 'expected an object'],
    ['{"type":"halt"}', 'type: expected one of status, '],
    ['{"type":"shutdown","kind":"halt"}', 'kind: expected "reboot" or "power-off"'],
    ['{"type":"stop"}', 'service: expected the name of a service'],
    ['{"type":"status","service":"web"}', 'service: no such key; expected type'],
  ] as const) {
    expect(() => parseControlRequest(line)).toThrow(message)
  }
  assert(
    property(string(), (line) => {
      expect(() => parseControlRequest(line)).toThrow(TypeError)
    }),
  )
})

test('PID 1 logs so many requests of a peer that floods it, and answers all', async () => {
  await using pid1 = await start()
  using client = new Client(pid1.run)
  client.socket.write('{"type":"commit"}\n'.repeat(300))
  await expect.poll(() => client.answers.length).toBe(300)
  expect(client.answers.some(({ ok }) => ok)).toBe(false)
  const told = pid1.lines.filter((line) => line.includes('control: commit, asked by'))
  expect(told.length).toBeGreaterThanOrEqual(50)
  expect(told.length).toBeLessThan(250)
})

test('PID 1 hears new peers again, and does not spin, when it had no descriptor left for one', async () => {
  await using pid1 = await start([])
  pid1.tell('n=$(ls /proc/1/fd | wc -l); prlimit --pid 1 --nofile=$((n + 4)):$((n + 4)); echo limited')
  await pid1.waitFor(/driver: limited/)
  const clients = Array.from({ length: 32 }, () => new Client(pid1.run))
  await pid1.waitFor(/init: control: .*EMFILE.*: nobody new is heard for 1000 ms/)
  const [before, beganMs] = [await cpuTicks(pid1, 1), performance.now()]
  const told = (): number => pid1.lines.filter((line) => line.includes('EMFILE')).length
  const toldBefore = told()
  await expect.poll(told).toBeGreaterThan(toldBefore + 1)
  // Some of a hundred ticks a second, by which a loop would take them all.
  const passedTicks = (performance.now() - beganMs) / 10
  expect((await cpuTicks(pid1, 2)) - before).toBeLessThan(passedTicks / 2)
  for (const client of clients) client[Symbol.dispose]()
  using client = new Client(pid1.run)
  expect((await client.status()).ready).toBe(true)
})

/** The time that PID 1 has taken of a processor, in ticks of a hundredth of a second (proc_pid_stat(5)). */
async function cpuTicks(pid1: Pid1, question: number): Promise<number> {
  pid1.tell(`echo question ${question}: $(cut -d' ' -f14,15 /proc/1/stat)`)
  const line = await pid1.waitFor(new RegExp(`driver: question ${question}: \\d+ \\d+`))
  const [user = 0, system = 0] = line.split(': ').at(-1)?.split(' ').map(Number) ?? []
  return user + system
}
