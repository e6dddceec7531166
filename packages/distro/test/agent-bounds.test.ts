// What clients that mean no good can take of the agent: the real one, with openssl and curl at the other end.
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startAgent, type TestAgent } from './support/agent.ts'
import { AgentClient } from './support/agent-client.ts'

const run = promisify(execFile)

let agent: TestAgent
let client: AgentClient

beforeAll(async () => {
  agent = await startAgent()
  client = new AgentClient(agent)
}, 30_000)

afterAll(async () => await agent[Symbol.asyncDispose]())

/** The agent's own process: the one that the service's cgroup has. */
async function memoryBytes(): Promise<number> {
  const { stdout } = await run('pgrep', ['-f', `${agent.folder}/index.js`])
  const rss = stdout
    .trim()
    .split('\n')
    .map((pid) => /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1])
  return Math.max(...rss.map(Number)) * 1024
}

/** Connects, and says nothing. */
async function silent(): Promise<Socket> {
  const [host = '', port = ''] = agent.address.split(':')
  const socket = connect(Number(port), host)
  socket.on('error', () => {})
  await once(socket, 'connect')
  return socket
}

interface Tls {
  /** Sends, as long as it is open. */
  readonly write: (text: string) => void
  /** Resolves when the agent has closed it. */
  readonly closed: Promise<unknown>
}

/** A TLS connection by openssl. */
function tls(): Tls {
  const options = ['s_client', '-quiet', '-no_ign_eof', '-connect', agent.address]
  const child = spawn('openssl', options, { stdio: ['pipe', 'ignore', 'ignore'] })
  child.stdin.on('error', () => {})
  return { write: (text) => void child.stdin.write(text), closed: once(child, 'close') }
}

test('a thousand connections that say nothing neither keep others out nor take its memory', async () => {
  const before = await memoryBytes()
  const sockets = await Promise.all(Array.from({ length: 1000 }, silent))
  try {
    await expect.poll(() => sockets.filter(({ destroyed }) => !destroyed).length).toBeLessThanOrEqual(64)
    const { status } = await client.curl('/v1/health')
    expect(status).toBe(200)
    await client.login()
    expect((await client.curl('/v1/status')).status).toBe(200)
    const grown = (await memoryBytes()) - before
    process.stdout.write(`a thousand connections: ${(grown / 1024 / 1024).toFixed(1)} MiB more\n`)
    expect(grown).toBeLessThan(48 * 1024 * 1024)
    await agent.waitFor(/agent: 64 connections are open: one of 127\.0\.0\.1 gives way/)
  } finally {
    for (const socket of sockets) socket.destroy()
  }
}, 60_000)

test('a connection that shows no session is closed after a time, however busy it is; one that has may stay', async () => {
  await client.login()
  const streaming = run('curl', [
    ...(await client.options()),
    ...['--silent', '--no-buffer', '--max-time', '25', `https://${agent.address}/v1/events`],
  ])
  const request = 'GET /v1/health HTTP/1.1\r\nHost: x\r\n'
  const [headers, body, whole] = [tls(), tls(), tls()]
  headers.write(request)
  body.write('POST /v1/session HTTP/1.1\r\nHost: x\r\nContent-Length: 400\r\n\r\n')
  const trickle = setInterval(() => {
    headers.write('x-a: b\r\n')
    body.write(' ')
    whole.write(`${request}\r\n`)
  }, 500)
  try {
    // openssl ends when the other side closes.
    await Promise.all([headers, body, whole].map(({ closed }) => closed))
  } finally {
    clearInterval(trickle)
  }
  // 28: the time that curl was given is over, and not the connection before it.
  await expect(streaming).rejects.toMatchObject({
    code: 28,
    stdout: expect.stringMatching(/^event: status\n[^]*\n:\n\n$/) as string,
  })
}, 60_000)

test('headers that are too long, or too many, are refused', async () => {
  const ask = async (headers: string): Promise<number> => {
    const file = join(agent.folder, 'headers')
    writeFileSync(file, headers)
    // It is closed while curl still sends, before curl reads an answer, or answered.
    return await client.curl('/v1/health', '--header', `@${file}`).then(
      ({ status }) => status,
      ({ code }: { code: number }) => code,
    )
  }
  expect(await ask('x-short: a')).toBe(200)
  expect([52, 55, 56, 431]).toContain(await ask(`x-long: ${'a'.repeat(100_000)}`))
  const many = Array.from({ length: 5000 }, (_, index) => `x-${index}: 0`).join('\n')
  expect([52, 55, 56, 400, 431]).toContain(await ask(many))
  expect((await client.curl('/v1/health')).status).toBe(200)
})

test('an upload without an end is refused, from somebody who is logged in and from a stranger', async () => {
  const before = await memoryBytes()
  const upload = async (): Promise<{ status: number; sent: number }> => {
    const script =
      'curl "$@" --upload-file - --request POST --write-out "\\n%{http_code} %{size_upload}" < /dev/zero'
    const more = ['--silent', '--header', 'expect:', '--header', 'content-type: application/json']
    const args = [...(await client.options()), ...more, `https://${agent.address}/v1/updates`]
    // 55, 56: it was closed while curl was still sending.
    const { stdout } = await run('sh', ['-c', script, 'sh', ...args]).catch(
      (error: { code: number; stdout: string }) => {
        expect([55, 56]).toContain(error.code)
        return error
      },
    )
    const [status = 0, sent = 0] = stdout.trim().split('\n').at(-1)?.split(' ').map(Number) ?? []
    return { status, sent }
  }
  client.forget()
  const stranger = await upload()
  await client.login()
  const owner = await upload()
  process.stdout.write(`endless uploads: ${JSON.stringify({ stranger, owner })}\n`)
  expect([0, 401]).toContain(stranger.status)
  expect([0, 413]).toContain(owner.status)
  // What lies in the buffers of sockets on the way is sent, for curl.
  expect(Math.max(stranger.sent, owner.sent)).toBeLessThan(64 * 1024 * 1024)
  expect((await memoryBytes()) - before).toBeLessThan(48 * 1024 * 1024)
  expect((await client.curl('/v1/status')).status).toBe(200)
}, 60_000)

test('what is no TLS, and no HTTP within it, is closed', async () => {
  const plain = await silent()
  plain.write('GET / HTTP/1.0\r\n\r\n')
  plain.resume()
  await once(plain, 'close')
  const { stdout } = await run('sh', [
    '-c',
    `(printf '\\001\\002\\003garbage\\r\\n\\r\\n'; sleep 2) | openssl s_client -quiet -connect ${agent.address} 2>/dev/null`,
  ])
  expect(stdout === '' || stdout.startsWith('HTTP/1.1 400')).toBe(true)
  expect((await client.curl('/v1/health')).status).toBe(200)
})
