// The real agent, asked by the real PID 1 and by the tools of others: curl, openssl, ssh-keygen, and by `solo` itself.
import { execFile, execFileSync } from 'node:child_process'
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { DeviceStatus, Failure } from '../src/agent/bodies.ts'
import { makeKey, startAgent, type TestAgent } from './support/agent.ts'
import { atTerminal } from './support/pty.ts'

const run = promisify(execFile)
const solo = fileURLToPath(new URL('../src/solo.ts', import.meta.url))

let agent: TestAgent
let owner: string
let certificate: string

beforeAll(async () => {
  agent = await startAgent()
  owner = join(agent.folder, 'owner')
  certificate = join(agent.folder, 'certificate.pem')
  writeFileSync(certificate, await shownCertificate())
})

afterAll(async () => await agent[Symbol.asyncDispose]())

/** The certificate that openssl is shown, as PEM. */
async function shownCertificate(): Promise<string> {
  const { stdout } = await run('sh', [
    '-c',
    `openssl s_client -connect ${agent.address} -verify_quiet </dev/null 2>/dev/null | openssl x509`,
  ])
  return stdout
}

/** Asks by curl, which trusts the device's certificate and no other. */
async function curl(path: string, ...args: string[]): Promise<{ status: number; body: string }> {
  const url = `https://${agent.address}${path}`
  const more = ['--cacert', certificate, '--silent', '--show-error', '--write-out', '\n%{http_code}']
  const { stdout } = await run('curl', [...more, ...args, url])
  const at = stdout.lastIndexOf('\n')
  return { status: Number(stdout.slice(at + 1)), body: stdout.slice(0, at) }
}

async function newChallenge(): Promise<string> {
  return (JSON.parse((await curl('/v1/challenge')).body) as { challenge: string }).challenge
}

/** A fingerprint that differs, whatever the first one begins with. */
function another(fingerprint: string): string {
  return fingerprint.replace(/^../, fingerprint.startsWith('00') ? '01' : '00')
}

interface Signing {
  readonly key?: string
  readonly namespace?: string
  readonly fingerprint?: string
}

/** Logs in by hand, as the API's description says. */
function sign(challenge: string, options: Signing = {}): string {
  const { key = owner, namespace = 'solo-session', fingerprint = agent.fingerprint } = options
  const input = `solo session\nchallenge ${challenge}\ncertificate ${fingerprint}\n`
  return execFileSync('ssh-keygen', ['-Y', 'sign', '-q', '-n', namespace, '-f', key], {
    input,
    encoding: 'utf8',
  })
}

async function login(challenge: string, signature: string): Promise<{ status: number; body: string }> {
  const body = JSON.stringify({ challenge, signature })
  return await curl('/v1/session', '--json', body)
}

/** A token, from a login that succeeds. */
async function session(): Promise<string> {
  const challenge = await newChallenge()
  const { status, body } = await login(challenge, sign(challenge))
  expect(status).toBe(200)
  return (JSON.parse(body) as { token: string }).token
}

const bearer = (token: string): string[] => ['--header', `authorization: Bearer ${token}`]

describe('its certificate', () => {
  test('has the fingerprint that the console shows, and a key that only the agent can read', async () => {
    const { stdout } = await run('openssl', ['x509', '-in', certificate, '-noout', '-fingerprint', '-sha256'])
    expect(stdout.trim()).toBe(`sha256 Fingerprint=${agent.fingerprint}`)
    const { mode, uid } = statSync(agent.identityFile)
    expect([mode & 0o777, uid]).toEqual([0o600, 61_999])
    const text = readFileSync(agent.identityFile, 'utf8')
    expect(text).toContain(readFileSync(certificate, 'utf8').trim())
    expect(text).toContain('BEGIN PRIVATE KEY')
  })

  test('is for its host name, for ever, and signs no others', async () => {
    const { stdout } = await run('openssl', ['x509', '-in', certificate, '-noout', '-text'])
    expect(stdout).toContain('DNS:kiosk-1, DNS:kiosk-1.local, DNS:localhost, IP Address:127.0.0.1')
    expect(stdout).toContain('Not After : Dec 31 23:59:59 9999 GMT')
    expect(stdout).not.toContain('CA:TRUE')
    await run('openssl', ['verify', '-CAfile', certificate, '-purpose', 'sslserver', certificate])
  })

  test('is trusted by curl when it is told to, or pinned, and not otherwise', async () => {
    const url = `https://${agent.address}/v1/health`
    await expect(run('curl', ['--silent', url])).rejects.toMatchObject({ code: 60 })
    const pin = `openssl x509 -in ${certificate} -pubkey -noout | openssl pkey -pubin -outform der | openssl dgst -sha256 -binary | openssl base64`
    const { stdout: hash } = await run('sh', ['-c', pin])
    const pinned = ['--silent', '--insecure', '--pinnedpubkey', `sha256//${hash.trim()}`, url]
    expect(JSON.parse((await run('curl', pinned)).stdout)).toEqual({ ok: true, name: 'kiosk-1' })
    const other = pinned.with(3, `sha256//${'A'.repeat(43)}=`)
    await expect(run('curl', other)).rejects.toMatchObject({ code: 90 })
  })
})

describe('logging in', () => {
  test('needs a signature by one of the keys, once, of this challenge, for this, and for this certificate', async () => {
    const challenge = await newChallenge()
    const signature = sign(challenge)
    const strangers = makeKey(agent.folder, 'stranger')
    const wrong = [
      sign(challenge, { key: strangers }),
      sign(challenge, { namespace: 'solo-release' }),
      sign(challenge, { fingerprint: another(agent.fingerprint) }),
      sign(await newChallenge()),
    ]
    for (const each of wrong) {
      const { status, body } = await login(challenge, each)
      expect([status, (JSON.parse(body) as Failure).code]).toEqual([401, 'unauthorized'])
    }
    expect((await login(challenge, signature)).status).toBe(200)
    expect(await login(challenge, signature)).toMatchObject({
      status: 401,
      body: expect.stringContaining('used before') as string,
    })
    const forged = `${challenge.slice(0, -2)}${challenge.endsWith('AA') ? 'BB' : 'AA'}`
    expect((await login(forged, sign(forged))).status).toBe(401)
    await agent.waitFor(/agent: login from .*127\.0\.0\.1 with SHA256:/)
    await agent.waitFor(/agent: login from .*127\.0\.0\.1 refused: /)
    expect(agent.lines.join('\n')).not.toContain('BEGIN SSH SIGNATURE')
  })

  test('gives a token, without which nothing is told or done, and which ends with the session', async () => {
    const token = await session()
    const paths = ['/v1/status', '/v1/events', '/v1/updates/1', '/v1/updates/1/wants', '/v1/nothing']
    for (const path of paths) expect((await curl(path)).status).toBe(401)
    const posts = ['reboot', 'power-off', 'commit', 'rollback', 'factory-reset', 'updates']
    for (const path of posts) expect((await curl(`/v1/${path}`, '--json', '{}')).status).toBe(401)
    expect((await curl('/v1/status', ...bearer(`${token.slice(0, -1)}_`))).status).toBe(401)
    expect((await curl('/v1/status', ...bearer(token))).status).toBe(200)
    expect((await curl('/v1/session', '--request', 'DELETE', ...bearer(token))).status).toBe(204)
    expect((await curl('/v1/status', ...bearer(token))).status).toBe(401)
  })

  test('takes no long or slow bodies from somebody who is not logged in', async () => {
    const long = join(agent.folder, 'long-login')
    writeFileSync(long, JSON.stringify({ challenge: '', signature: ' '.repeat(20_000) }))
    expect((await curl('/v1/session', '--json', `@${long}`)).status).toBe(413)
    const chunked = ['--json', `@${long}`, '--header', 'transfer-encoding: chunked']
    expect((await curl('/v1/session', ...chunked)).status).toBe(413)
    const [host = '', port = ''] = agent.address.split(':')
    const lines = [
      'POST /v1/session HTTP/1.1',
      `Host: ${host}`,
      'Content-Type: application/json',
      'Content-Length: 90',
    ]
    const request = `${lines.join('\r\n')}\r\n\r\n{`
    const script = `(printf '%s' "$0"; sleep 12) | openssl s_client -quiet -no_ign_eof -connect ${host}:${port} 2>/dev/null`
    const { stdout } = await run('sh', ['-c', script, request])
    expect(stdout).toMatch(/^HTTP\/1\.1 408 /)
  })

  test('is not possible by what a page of another site can send', async () => {
    const challenge = await newChallenge()
    const body = JSON.stringify({ challenge, signature: sign(challenge) })
    const simple = [
      '--header',
      'content-type: text/plain',
      '--header',
      'origin: https://evil.example',
      '--data',
      body,
    ]
    expect((await curl('/v1/session', ...simple)).status).toBe(415)
    const asked = ['--request', 'OPTIONS', '--header', 'origin: https://evil.example', '--include']
    const { body: preflight } = await curl('/v1/session', ...asked)
    expect(preflight.toLowerCase()).not.toContain('access-control-allow')
  })
})

describe('its API', () => {
  test('tells what PID 1 tells, once and as a stream', async () => {
    const token = await session()
    const { machine, slots, update } = JSON.parse(
      (await curl('/v1/status', ...bearer(token))).body,
    ) as DeviceStatus
    expect(machine.services).toMatchObject([{ name: 'agent', status: 'running' }])
    expect(machine.boot.slot).toBeNull()
    expect([slots, update]).toEqual([null, null])
    const stream = run('curl', [
      ...['--cacert', certificate, '--silent', '--no-buffer', '--max-time', '3', ...bearer(token)],
      `https://${agent.address}/v1/events`,
    ])
    const { stdout } = (await stream.catch((error: unknown) => error)) as { stdout: string }
    expect(stdout).toMatch(/^event: status\ndata: \{"machine":\{/)
  })

  test('hands on what PID 1 refuses, with its reason', async () => {
    const token = bearer(await session())
    const refused = await curl('/v1/rollback', '--request', 'POST', ...token)
    expect(refused).toMatchObject({ status: 409, body: expect.stringContaining('other slot') as string })
    const reset = await curl('/v1/factory-reset', '--json', '{"appliance":"other"}', ...token)
    expect(reset).toMatchObject({ status: 409, body: expect.stringContaining('this is kiosk') as string })
  })

  test('refuses bodies that are too long, of another shape, or for an image without updates', async () => {
    const token = bearer(await session())
    const long = join(agent.folder, 'long')
    writeFileSync(long, Buffer.alloc(600 * 1024, ' '))
    // The answer comes before the body is sent.
    const ask = ['--json', `@${long}`, '--header', 'expect: 100-continue']
    expect((await curl('/v1/updates', ...ask, ...token)).status).toBe(413)
    const { status, body } = await curl('/v1/updates', '--json', '{"manifest":1}', ...token)
    expect([status, (JSON.parse(body) as Failure).code]).toEqual([400, 'format'])
    const documents = JSON.stringify({ manifest: '{}', signatures: [], trust: [] })
    expect((await curl('/v1/updates', '--json', documents, ...token)).status).toBe(409)
    expect((await curl('/v1/updates/1', ...token)).status).toBe(404)
  })

  test('is described by a document that names each path, and what needs no session', async () => {
    const { body } = await curl('/v1/openapi.json')
    const { openapi, paths } = JSON.parse(body) as {
      openapi: string
      paths: Record<string, Record<string, { security?: unknown[] }>>
    }
    expect(openapi).toBe('3.1.0')
    const open = Object.entries(paths).flatMap(([path, methods]) =>
      Object.entries(methods).flatMap(([method, { security }]) =>
        security === undefined ? [] : [`${method} ${path}`],
      ),
    )
    expect(open).toEqual(['get /v1/health', 'get /v1/challenge', 'post /v1/session'])
    expect(Object.keys(paths).toSorted()).toEqual([
      '/v1/challenge',
      '/v1/commit',
      '/v1/events',
      '/v1/factory-reset',
      '/v1/force-reboot',
      '/v1/health',
      '/v1/power-off',
      '/v1/reboot',
      '/v1/rollback',
      '/v1/session',
      '/v1/status',
      '/v1/updates',
      '/v1/updates/from-stick',
      '/v1/updates/{update}',
      '/v1/updates/{update}/wants',
      '/v1/updates/{update}/wants/{want}',
    ])
  })
})

describe('solo', () => {
  const command = async (...args: string[]): Promise<{ stdout: string; stderr: string }> => {
    const devices = join(agent.folder, 'devices.json')
    return await run(process.execPath, [solo, ...args, '--key', owner], {
      env: { ...process.env, SOLO_DEVICES: devices },
    })
  }

  test('status trusts nobody by itself, and a device with another fingerprint not at all', async () => {
    await expect(command('status', agent.address)).rejects.toMatchObject({
      code: 1,
      stderr: expect.stringContaining(`--fingerprint ${agent.fingerprint}`) as string,
    })
    const other = another(agent.fingerprint)
    await expect(command('status', agent.address, '--fingerprint', other)).rejects.toMatchObject({
      stderr: expect.stringContaining(`expected ${other}`) as string,
    })
    expect(existsSync(join(agent.folder, 'devices.json'))).toBe(false)
  })

  test('status tells of a device that was trusted once, in lines and as JSON', async () => {
    const { stdout } = await command('status', agent.address, '--fingerprint', agent.fingerprint)
    expect(stdout).toMatch(/^services {2}agent {2}running {2}ready$/m)
    const { stdout: json } = await command('status', agent.address, '--json')
    expect(JSON.parse(json)).toMatchObject({ machine: { services: [{ name: 'agent' }] } })
    const text = readFileSync(join(agent.folder, 'devices.json'), 'utf8')
    expect(JSON.parse(text)).toEqual({
      version: 1,
      devices: { [agent.address]: { fingerprint: agent.fingerprint } },
    })
    writeFileSync(
      join(agent.folder, 'devices.json'),
      text.replace(agent.fingerprint, another(agent.fingerprint)),
    )
    await expect(command('status', agent.address)).rejects.toMatchObject({
      stderr: expect.stringMatching(/another machine, or the device was reset/) as string,
    })
  })

  test('status asks at a terminal whether the device is the one, and remembers a yes', async () => {
    const devices = join(agent.folder, 'devices-of-a-terminal.json')
    const ask = async (answer: string): Promise<{ status: number | null; text: string }> => {
      const words = [process.execPath, solo, 'status', agent.address, '--key', owner]
      const terminal = atTerminal(words, { SOLO_DEVICES: devices })
      await terminal.waitFor(/Is it what the device shows on its console\? \[y\/N\] /)
      terminal.type(answer)
      return await terminal.ended
    }
    const refused = await ask('')
    expect(refused).toMatchObject({ status: 1, text: expect.stringContaining(agent.fingerprint) as string })
    expect(existsSync(devices)).toBe(false)
    expect(await ask('yes')).toMatchObject({
      status: 0,
      text: expect.stringMatching(/services {2}agent {2}running/) as string,
    })
    expect(readFileSync(devices, 'utf8')).toContain(agent.fingerprint)
  })

  test('rollback and commit tell why a device does not', async () => {
    for (const name of ['rollback', 'commit']) {
      await expect(command(name, agent.address, '--fingerprint', agent.fingerprint)).rejects.toMatchObject({
        code: 1,
        stderr: expect.stringMatching(/^solo: 127\.0\.0\.1:\d+: there is no /) as string,
      })
    }
  })
})

// Last, as nobody gets in for a while afterwards.
test('too many logins from one address are answered with the time to wait', async () => {
  const one = ['--json', '{"challenge":"","signature":""}', '--include']
  let answer = await curl('/v1/session', ...one)
  // One comes back each six seconds, so it may be more than ten.
  for (let tries = 0; tries < 60 && answer.status === 401; tries++) answer = await curl('/v1/session', ...one)
  expect(answer.status).toBe(429)
  expect(answer.body).toMatch(/retry-after: [1-6]\r\n/i)
  expect(answer.body).toMatch(/too many logins from this address/)
})
