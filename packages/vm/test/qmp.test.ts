import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { describe, expect, test } from 'vitest'
import { connectQmp, QmpClient, QmpError, type QmpEvent } from '../src/qmp.ts'

// Messages as QEMU 7.2.22 sent them.
const GREETING =
  '{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": "Debian"}, "capabilities": ["oob"]}}\r\n'
const SHUTDOWN =
  '{"timestamp": {"seconds": 1795517969, "microseconds": 452562}, "event": "SHUTDOWN", "data": {"guest": true, "reason": "guest-shutdown"}}\r\n'

type Command = { execute: string; id: number; arguments?: unknown }
type Answer = (command: Command) => string | undefined

const ok: Answer = ({ id }) => `{"return": {}, "id": ${id}}\r\n`

/** A peer that greets and answers; `commands` is what it was asked. */
function fakePeer(answer: Answer): {
  client: QmpClient
  input: PassThrough
  commands: Command[]
  events: QmpEvent[]
} {
  const input = new PassThrough()
  const output = new PassThrough()
  const commands: Command[] = []
  const events: QmpEvent[] = []
  output.on('data', (chunk: Uint8Array) => {
    for (const line of new TextDecoder().decode(chunk).trim().split('\n')) {
      const command = JSON.parse(line) as Command
      commands.push(command)
      const text = answer(command)
      if (text !== undefined) input.write(text)
    }
  })
  const client = new QmpClient({ input, output, onEvent: (event) => events.push(event) })
  return { client, input, commands, events }
}

describe('QmpClient', () => {
  test('ready gives the version after negotiating capabilities', async () => {
    const { client, input, commands } = fakePeer(ok)
    input.write(GREETING)
    await expect(client.ready).resolves.toBe('7.2.22')
    expect(commands.map(({ execute }) => execute)).toEqual(['qmp_capabilities'])
  })

  test('events come in order, with their time, however the bytes are cut', async () => {
    const { client, input, events } = fakePeer(ok)
    const all = GREETING + SHUTDOWN + SHUTDOWN.replace('SHUTDOWN', 'RESET')
    for (const character of all) input.write(character)
    await client.ready
    expect(events.map(({ event }) => event)).toEqual(['SHUTDOWN', 'RESET'])
    expect(events[0]).toMatchObject({ data: { reason: 'guest-shutdown' }, timeMs: 1_795_517_969_452.562 })
  })

  test('answers find their commands in whatever order they come', async () => {
    const held: Command[] = []
    const { client, input } = fakePeer((command) => {
      if (command.execute === 'qmp_capabilities') return ok(command)
      held.push(command)
      return undefined
    })
    input.write(GREETING)
    await client.ready
    const first = client.execute('one')
    const second = client.execute('two', { x: 1 })
    await expect.poll(() => held.length).toBe(2)
    for (const { id, execute } of held.toReversed()) input.write(`{"return": "${execute}", "id": ${id}}\r\n`)
    expect(await Promise.all([first, second])).toEqual(['one', 'two'])
    expect(held[1]?.arguments).toEqual({ x: 1 })
  })

  test('powerdown(), quit() and queryStatus() send the commands of those names', async () => {
    const { client, input, commands } = fakePeer((command) =>
      command.execute === 'query-status'
        ? `{"return": {"status": "running", "running": true}, "id": ${command.id}}\r\n`
        : ok(command),
    )
    input.write(GREETING)
    await client.ready
    await client.powerdown()
    await expect(client.queryStatus()).resolves.toEqual({ running: true, status: 'running' })
    await client.quit()
    expect(commands.map(({ execute }) => execute).slice(1)).toEqual([
      'system_powerdown',
      'query-status',
      'quit',
    ])
  })

  test("execute() rejects with QEMU's class and words", async () => {
    const { client, input } = fakePeer((command) =>
      command.execute === 'nonsense'
        ? `{"error": {"class": "CommandNotFound", "desc": "The command nonsense has not been found"}, "id": ${command.id}}\r\n`
        : ok(command),
    )
    input.write(GREETING)
    await client.ready
    const error = await client.execute('nonsense').catch((reason: unknown) => reason)
    expect(error).toBeInstanceOf(QmpError)
    expect(error).toMatchObject({ errorClass: 'CommandNotFound' })
    expect(String(error)).toContain('nonsense: The command nonsense has not been found')
  })

  test('execute() gives up after its time, and a late answer disturbs nobody', async () => {
    let late = 0
    const { client, input } = fakePeer((command) => {
      if (command.execute !== 'slow') return ok(command)
      late = command.id
      return undefined
    })
    input.write(GREETING)
    await client.ready
    await expect(client.execute('slow', undefined, { timeoutMs: 20 })).rejects.toMatchObject({
      errorClass: 'Timeout',
    })
    input.write(`{"return": {}, "id": ${late}}\r\n`)
    await expect(client.execute('next')).resolves.toEqual({})
  })

  test('the end of the stream rejects what is open and what comes later', async () => {
    const { client, input } = fakePeer((command) => (command.execute === 'hold' ? undefined : ok(command)))
    input.write(GREETING)
    await client.ready
    const open = client.execute('hold')
    input.end()
    await expect(open).rejects.toMatchObject({ errorClass: 'Closed' })
    await client.closed
    await expect(client.execute('more')).rejects.toMatchObject({ errorClass: 'Closed' })
  })

  test('ready rejects for a peer that speaks something else, and for one that ends', async () => {
    const other = fakePeer(ok)
    other.input.write('SSH-2.0-OpenSSH\r\n')
    await expect(other.client.ready).rejects.toMatchObject({ errorClass: 'Protocol' })
    const silent = fakePeer(ok)
    silent.input.end()
    await expect(silent.client.ready).rejects.toMatchObject({ errorClass: 'Closed' })
  })
})

describe('connectQmp()', () => {
  test('speaks over a Unix socket, and closes it', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'solo-qmp-'))
    const path = join(folder, 'qmp')
    const ended = Promise.withResolvers<void>()
    const server = createServer((socket: Socket) => {
      socket.write(GREETING)
      socket.on('data', (chunk) => socket.write(ok(JSON.parse(chunk.toString()) as Command) ?? ''))
      socket.on('close', () => ended.resolve())
    })
    await new Promise<void>((resolve) => void server.listen(path, resolve))
    try {
      using qmp = await connectQmp(path)
      await expect(qmp.ready).resolves.toBe('7.2.22')
      qmp.close()
      await ended.promise
    } finally {
      server.close()
      rmSync(folder, { recursive: true })
    }
  })

  test('names the path when nothing listens there', async () => {
    await expect(connectQmp('/nonexistent/qmp')).rejects.toThrow('/nonexistent/qmp')
  })
})
