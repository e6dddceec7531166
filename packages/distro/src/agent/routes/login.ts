// Whether the device is there, and logging in: the only paths that need no session.
import { createRoute, OpenAPIHono } from '@hono/zod-openapi'
import { HTTPException } from 'hono/http-exception'
import type { ApiTypes } from '../api.ts'
import type { Device } from '../device.ts'
import { challengeSchema, credentialsSchema, healthSchema, sessionSchema } from '../schemas.ts'
import { answers, done, jsonBody } from './answers.ts'

const health = createRoute({
  ...{ method: 'get', path: '/v1/health', summary: 'Whether the device is there', security: [] },
  responses: answers('It is', healthSchema),
})

const challenge = createRoute({
  ...{ method: 'get', path: '/v1/challenge', summary: 'What is signed to log in', security: [] },
  responses: answers('To be signed once, soon', challengeSchema),
})

const login = createRoute({
  ...{ method: 'post', path: '/v1/session', summary: 'Log in', security: [] },
  request: jsonBody(credentialsSchema),
  responses: answers('A session', sessionSchema),
})

const logout = createRoute({
  ...{ method: 'delete', path: '/v1/session', summary: 'Log out' },
  responses: done('The session is over'),
})

/** Their handlers. */
export function loginRoutes(device: Device): OpenAPIHono<ApiTypes> {
  const { logins, hostname } = device
  const routes = new OpenAPIHono<ApiTypes>()
  routes.openapi(health, (c) => c.json({ ok: true as const, name: hostname }, 200))
  routes.openapi(challenge, (c) => c.json(logins.challenge(), 200))
  routes.openapi(login, (c) => {
    const { address } = c.env
    const result = logins.login(c.req.valid('json'), address)
    if (result.ok) {
      const { token, key, role, expiresInSeconds } = result
      device.log(`login from ${address} with ${key}, to ${role}`)
      return c.json({ token, role, expiresInSeconds }, 200)
    }
    if ('retryAfterSeconds' in result) {
      const headers = { 'retry-after': String(result.retryAfterSeconds) }
      const message = `too many logins from this address: try again in ${result.retryAfterSeconds} s`
      throw new HTTPException(429, { message, res: new Response(null, { headers }) })
    }
    device.log(`login from ${address} refused: ${printable(result.detail)}`)
    throw new HTTPException(401, { message: result.reason })
  })
  routes.openapi(logout, (c) => {
    logins.logout(c.req.header('authorization'))
    return c.body(null, 204)
  })
  return routes
}

/** Part of it is what the client sent. */
function printable(text: string): string {
  return text.replaceAll(/[^ -~]/g, '?').slice(0, 200)
}
