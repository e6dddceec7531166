// The API as its OpenAPI document describes it: the document judged by a validator of others, and each answer of the real
// agent by the document; and what each role may do.
import { spawn } from 'node:child_process'
import { Validator } from '@seriousme/openapi-schema-validator'
import { Ajv2020 } from 'ajv/dist/2020.js'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Failure, UpdateState, WantsAnswer } from '../src/agent/bodies.ts'
import { AgentClient, type Answer } from './support/agent-client.ts'
import { releaseOf, UpdatingAgent } from './support/updating-agent.ts'

interface Operation {
  readonly responses: Readonly<
    Record<string, { readonly content?: Record<string, { readonly schema: object }> }>
  >
}

interface Document {
  readonly openapi: string
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>
  readonly components: object
}

const [one, two] = await Promise.all([releaseOf(1), releaseOf(2)])

let started: UpdatingAgent
let client: AgentClient
let document: Document

beforeAll(async () => {
  started = await UpdatingAgent.start(one)
  client = new AgentClient(started.agent)
  document = JSON.parse((await client.curl('/v1/openapi.json')).body) as Document
}, 60_000)

afterAll(async () => await started[Symbol.asyncDispose]())

/** What was compared, as `METHOD PATH STATUS`. */
const seen = new Set<string>()

/** Asks, and compares the answer with what is documented of the path. */
async function ask(method: string, template: string, path: string, ...args: string[]): Promise<Answer> {
  const answer = await client.curl(path, '--request', method, ...args)
  const operation = document.paths[template]?.[method.toLowerCase()]
  if (operation === undefined) throw new Error(`${method} ${template} is not documented`)
  const status = String(answer.status)
  const response = operation.responses[status] ?? operation.responses['default']
  if (response === undefined)
    throw new Error(`${method} ${template}: ${status} is not documented: ${answer.body}`)
  seen.add(`${method} ${template} ${status in operation.responses ? status : 'default'}`)
  const [type, content] = Object.entries(response.content ?? {})[0] ?? []
  if (type === undefined) {
    expect([answer.body, answer.contentType], `${method} ${path}`).toEqual(['', ''])
    return answer
  }
  expect(answer.contentType.split(';')[0], `${method} ${path}: ${answer.body}`).toBe(type)
  const validate = new Ajv2020({ strict: false, validateFormats: false }).compile({
    ...content?.schema,
    components: document.components,
  })
  const bodies = type === 'text/event-stream' ? eventsOf(answer.body) : [answer.body]
  for (const body of bodies) {
    if (!validate(JSON.parse(body)))
      throw new Error(
        `${method} ${path}: ${body} is not what is documented: ${JSON.stringify(validate.errors)}`,
      )
  }
  return answer
}

function eventsOf(stream: string): string[] {
  return [...stream.matchAll(/^event: status\ndata: (.*)$/gm)].map(([, data = '']) => data)
}

test('its document is one of OpenAPI 3.1, by the schema that the OpenAPI initiative publishes', async () => {
  const validator = new Validator()
  expect(await validator.validate({ ...structuredClone(document) })).toMatchObject({ valid: true })
  expect(validator.version).toBe('3.1')
  const broken = { ...structuredClone(document), paths: { '/v1/x': { get: { responses: 7 } } } }
  expect(await validator.validate(broken)).toMatchObject({ valid: false })
})

const oneUpdate = '/v1/updates/{update}'
const wantsOf = `${oneUpdate}/wants`
const oneWant = `${wantsOf}/{want}`

/** Pushes a release by hand. */
async function push(): Promise<UpdateState> {
  const { machine } = started
  const documents = JSON.stringify(machine.documents(two))
  let update = JSON.parse(
    (await ask('POST', '/v1/updates', '/v1/updates', '--json', documents)).body,
  ) as UpdateState
  let after = 0
  while (update.state === 'running') {
    const path = `/v1/updates/${update.id}/wants?after=${after}`
    const answer = JSON.parse((await ask('GET', wantsOf, path)).body) as WantsAnswer
    for (const { id, digest, offset, length } of answer.wants) {
      const file = machine.path(`want-${id}`)
      await Bun.write(file, two.blobs.get(digest)?.slice(offset, offset + length) ?? '')
      const body = ['--data-binary', `@${file}`, '--header', 'content-type: application/octet-stream']
      const { status } = await ask('PUT', oneWant, `/v1/updates/${update.id}/wants/${id}`, ...body)
      expect([204, 409]).toContain(status)
      after = Math.max(after, id)
    }
    update = answer.update
  }
  return update
}

describe('each answer is what the document says', () => {
  test('of logging in and looking', async () => {
    await ask('GET', '/v1/health', '/v1/health')
    await ask('GET', '/v1/challenge', '/v1/challenge')
    await ask('POST', '/v1/session', '/v1/session', '--json', '{"challenge":"","signature":""}')
    await ask('GET', '/v1/status', '/v1/status')
    await client.login()
    await ask('GET', '/v1/status', '/v1/status')
  })

  test('of an update that is pushed, one that is stopped, and one from a stick', async () => {
    await client.login()
    expect(await push()).toMatchObject({ state: 'installed', slot: 'solo-b' })
    const { id } = JSON.parse(
      (await ask('POST', '/v1/updates/from-stick', '/v1/updates/from-stick')).body,
    ) as UpdateState
    await ask('GET', oneUpdate, `/v1/updates/${id}`)
    await ask('DELETE', oneUpdate, `/v1/updates/${id}`)
    await ask('GET', '/v1/status', '/v1/status')
  })

  test('of what is refused', async () => {
    await client.login()
    const posts = ['/v1/commit', '/v1/rollback', '/v1/updates', '/v1/factory-reset']
    for (const path of posts) await ask('POST', path, path, '--json', '{"appliance":"other"}')
    for (const method of ['GET', 'DELETE']) await ask(method, oneUpdate, '/v1/updates/99')
    await ask('GET', wantsOf, '/v1/updates/x/wants')
    await ask('PUT', oneWant, '/v1/updates/99/wants/1', '--data-binary', 'x')
    client.forget()
    for (const path of ['/v1/reboot', '/v1/force-reboot', '/v1/power-off', '/v1/updates/from-stick'])
      await ask('POST', path, path)
    await ask('DELETE', '/v1/session', '/v1/session')
  })

  test('of the stream, and of the restart', async () => {
    await client.login()
    const { body } = await ask('GET', '/v1/events', '/v1/events', '--no-buffer', '--max-time', '2')
    expect(body).toMatch(/^event: status\ndata: /)
    expect((await ask('POST', '/v1/reboot', '/v1/reboot')).status).toBe(204)
  })
})

test('all that is documented was asked for', () => {
  const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
  )
  const asked = new Set([...seen].map((each) => each.split(' ').slice(0, 2).join(' ')))
  expect([...asked].toSorted()).toEqual(operations.toSorted())
})

describe('a key', () => {
  let own: UpdatingAgent
  beforeAll(async () => void (own = await UpdatingAgent.start(one)), 60_000)
  afterAll(async () => await own[Symbol.asyncDispose]())

  test.each([
    ['observe', { observe: true, update: false, admin: false }],
    ['update', { observe: true, update: true, admin: false }],
    ['owner', { observe: true, update: true, admin: true }],
  ] as const)('%s may do what its role says, and is told what it lacks', async (key, may) => {
    const as = new AgentClient(own.agent)
    expect((await as.login(key)).role).toBe(key === 'owner' ? 'admin' : key)
    const isLet = async (path: string, ...args: string[]): Promise<boolean> => {
      const { status, body } = await as.curl(path, ...args)
      if (status !== 403) return true
      expect(JSON.parse(body) as Failure).toMatchObject({
        code: 'forbidden',
        message: expect.stringMatching(/^this needs a key with the role (update|admin); yours has/) as string,
      })
      return false
    }
    const post = ['--request', 'POST']
    for (const path of ['/v1/status', '/v1/updates/1']) expect(await isLet(path), path).toBe(may.observe)
    for (const path of ['/v1/commit', '/v1/rollback', '/v1/updates', '/v1/updates/from-stick'])
      expect(await isLet(path, ...post), path).toBe(may.update)
    expect(await isLet('/v1/updates/1', '--request', 'DELETE')).toBe(may.update)
    expect(await isLet('/v1/updates/1/wants/1', '--request', 'PUT')).toBe(may.update)
    // Who polls keeps an update alive, whose client may have gone.
    for (const path of ['/v1/updates/1/wants?after=0', '/v1/updates/x/w%61nts'])
      expect(await isLet(path), path).toBe(may.update)
    expect(await isLet('/v1/factory-reset', '--json', '{"appliance":"other"}')).toBe(may.admin)
    if (!may.admin)
      for (const path of ['/v1/power-off', '/v1/force-reboot'])
        expect(await isLet(path, ...post), path).toBe(false)
    if (!may.update) expect(await isLet('/v1/reboot', ...post)).toBe(false)
    // Another way to write a path is no way around.
    if (!may.admin)
      for (const path of [
        '/v1/Power-off',
        '/v1//power-off',
        '/v1/power-off/',
        '/v1/%70ower-off',
        '/v1/./power-off',
      ])
        expect([403, 404]).toContain((await as.curl(path, '--path-as-is', ...post)).status)
    expect((await as.curl('/v1/session', '--request', 'DELETE')).status).toBe(204)
  })

  test('with the role observe cannot take all streams of events', async () => {
    const [observer, owner] = [new AgentClient(own.agent), new AgentClient(own.agent)]
    await observer.login('observe')
    await owner.login('owner')
    const listen = ['--silent', '--no-buffer', `https://${own.agent.address}/v1/events`]
    const options = await observer.options()
    const listening = Array.from({ length: 8 }, () =>
      spawn('curl', [...options, ...listen], { stdio: 'ignore' }),
    )
    try {
      // Six are let in, and stay.
      await expect
        .poll(() => listening.filter(({ exitCode }) => exitCode !== null).length, { timeout: 60_000 })
        .toBe(2)
      expect((await observer.curl('/v1/events', '--max-time', '30')).status).toBe(503)
      expect(await owner.curl('/v1/events', '--no-buffer', '--max-time', '10')).toMatchObject({
        status: 200,
        body: expect.stringMatching(/^event: status\n/) as string,
      })
    } finally {
      for (const curl of listening) curl.kill()
    }
  })
})
