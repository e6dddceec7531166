// The API: what can be asked of a device over HTTPS. The paths with their bodies are in the OpenAPI document, which is
// made from what stands here.
import { setTimeout as sleep } from 'node:timers/promises'
import { OpenAPIHono } from '@hono/zod-openapi'
import { UpdateRefused } from '@pkg/update/refused'
import type { Context, MiddlewareHandler } from 'hono'
import { HTTPException } from 'hono/http-exception'
import packageJson from '../../package.json' with { type: 'json' }
import type { Failure } from './bodies.ts'
import { ControlRefused, ControlUnreachable } from './control-client.ts'
import type { Device } from './device.ts'
import { isEnough, neededRole, type Role } from './roles.ts'
import { loginRoutes } from './routes/login.ts'
import { machineRoutes } from './routes/machine.ts'
import { updateRoutes } from './routes/updates.ts'
import { UpdateBusy } from './updates.ts'

/** What a request comes with besides itself, and what is found out about it. */
export interface ApiTypes {
  Bindings: {
    /** The client's address. */
    readonly address: string
    /** The connection is that of somebody who is logged in. */
    readonly known: () => void
  }
  Variables: {
    /** What the key may do that the session was begun with. */
    role: Role
  }
}

/** Makes the API of a device. */
export function makeApi(device: Device): OpenAPIHono<ApiTypes> {
  const api = new OpenAPIHono<ApiTypes>({
    defaultHook: (result) => {
      if (!result.success) throw new BadRequest(result.error.issues)
    },
  })
  api.use(headers)
  api.use(loggedIn(device))
  api.use('/v1/session', shortBody)
  api.route('/', loginRoutes(device))
  api.route('/', machineRoutes(device))
  api.route('/', updateRoutes(device))
  api.doc31('/v1/openapi.json', {
    openapi: '3.1.0',
    info: {
      title: 'Solo device',
      version: packageJson.version,
      description:
        'Log in with an SSH key: sign what `/v1/challenge` gives, and send the token of `/v1/session` with each ' +
        'request. There are no cookies and no passwords. A key has a role: `observe` may look, `update` may also do ' +
        'what is done with releases, `admin` everything; what a session may not do is answered with 403.',
    },
    security: [{ session: [] }],
  })
  api.openAPIRegistry.registerComponent('securitySchemes', 'session', { type: 'http', scheme: 'bearer' })
  api.notFound((c) => failed(c, 404, 'not-found', `there is no ${c.req.method} ${c.req.path}`))
  api.onError((error, c) => explain(error, c, device))
  return api
}

class BadRequest extends Error {
  constructor(issues: readonly { readonly path: readonly PropertyKey[]; readonly message: string }[]) {
    const lines = issues.map(({ path, message }) => `${path.map(String).join('.') || 'the body'}: ${message}`)
    super(lines.join('; ').slice(0, 1000))
  }
}

/** Answers are of this moment and for this client. */
const headers: MiddlewareHandler<ApiTypes> = async (c, next) => {
  await next()
  c.header('cache-control', 'no-store')
  c.header('x-content-type-options', 'nosniff')
}

/** What can be asked without a session. */
const open: ReadonlySet<string> = new Set(['/v1/health', '/v1/challenge', '/v1/session', '/v1/openapi.json'])

/** Looks at headers only: a body is not read for someone who is not logged in. */
function loggedIn(device: Device): MiddlewareHandler<ApiTypes> {
  return async (c, next) => {
    if (!open.has(c.req.path)) {
      const session = device.logins.session(c.req.header('authorization'), c.env.address)
      if (session === undefined)
        return failed(c, 401, 'unauthorized', 'expected a session: log in at /v1/session')
      c.env.known()
      c.set('role', session.role)
      const needed = neededRole(c.req.method, c.req.path)
      if (!isEnough(session.role, needed))
        return failed(
          c,
          403,
          'forbidden',
          `this needs a key with the role ${needed}; yours has ${session.role}`,
        )
    }
    return next()
  }
}

/** Credentials have a few hundred bytes. */
const STRANGERS_BYTES_MAX = 16 * 1024

/** How long a client may take to send them; who sends a byte now and then would keep others out. */
const STRANGERS_MS = 5000

/** Bounds what somebody sends who is not logged in. What is read here the handler finds read. */
const shortBody: MiddlewareHandler<ApiTypes> = async (c, next) => {
  if (Number(c.req.header('content-length') ?? 0) > STRANGERS_BYTES_MAX)
    return failed(c, 413, 'size', `expected ${STRANGERS_BYTES_MAX} bytes at most`)
  const late = sleep(STRANGERS_MS, undefined, { ref: false })
  const text = await Promise.race([c.req.text(), late])
  if (text === undefined)
    return failed(c, 408, 'timeout', `expected the request within ${STRANGERS_MS / 1000} s`)
  if (text.length > STRANGERS_BYTES_MAX)
    return failed(c, 413, 'size', `expected ${STRANGERS_BYTES_MAX} bytes at most`)
  return next()
}

type Status = 400 | 401 | 403 | 404 | 408 | 409 | 413 | 422 | 500 | 503

function failed(c: Context<ApiTypes>, status: Status, code: string, message: string): Response {
  if (status === 401) c.header('www-authenticate', 'Bearer')
  return c.json({ code, message } satisfies Failure, status)
}

function explain(error: Error, c: Context<ApiTypes>, device: Device): Response {
  if (error instanceof BadRequest) return failed(c, 400, 'format', error.message)
  if (error instanceof UpdateRefused) return failed(c, 422, error.check, error.message)
  if (error instanceof UpdateBusy) return failed(c, 409, 'busy', error.message)
  if (error instanceof ControlRefused) return failed(c, 409, 'refused', error.message)
  if (error instanceof ControlUnreachable) return failed(c, 503, 'unreachable', error.message)
  if (error instanceof HTTPException) {
    const { status, message, res } = error
    const code = { 401: 'unauthorized', 404: 'not-found', 409: 'conflict', 429: 'too-many-tries' }[
      status as number
    ]
    return new Response(JSON.stringify({ code: code ?? 'format', message } satisfies Failure), {
      status,
      headers: { 'content-type': 'application/json', ...Object.fromEntries(res?.headers ?? []) },
    })
  }
  device.log(`${c.req.method} ${c.req.path}: ${error.stack ?? error.message}`)
  return failed(c, 500, 'internal', 'the agent failed; its log says how')
}
