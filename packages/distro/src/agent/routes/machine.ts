// How the device is, and what it is asked to do as a whole.
import { createRoute, OpenAPIHono } from '@hono/zod-openapi'
import type { ControlRequest } from '@pkg/init/control'
import { HTTPException } from 'hono/http-exception'
import { streamSSE } from 'hono/streaming'
import type { ApiTypes } from '../api.ts'
import type { Device } from '../device.ts'
import { resetSchema, statusSchema } from '../schemas.ts'
import { answers, done, jsonBody, otherwise } from './answers.ts'

const status = createRoute({
  ...{ method: 'get', path: '/v1/status', summary: 'Versions, slots, services, the update' },
  responses: answers('How the device is', statusSchema),
})

const events = createRoute({
  ...{ method: 'get', path: '/v1/events', summary: 'The status, whenever it changes' },
  responses: {
    200: {
      content: { 'text/event-stream': { schema: statusSchema } },
      description: 'Server-sent events named `status`; the first comes at once',
    },
    ...otherwise,
  },
})

const reset = createRoute({
  ...{ method: 'post', path: '/v1/factory-reset', summary: 'Format the data partition at the next boot' },
  description: 'Restarts at once. Versions and slots stay as they are.',
  request: jsonBody(resetSchema),
  responses: done('It will'),
})

/** What needs nothing but a word. */
const commands: readonly { path: string; summary: string; request: ControlRequest }[] = [
  { path: '/v1/reboot', summary: 'Restart', request: { type: 'shutdown', kind: 'reboot' } },
  {
    path: '/v1/force-reboot',
    summary: 'Restart, also into a release that a service does not want now',
    request: { type: 'shutdown', kind: 'reboot', force: true },
  },
  { path: '/v1/power-off', summary: 'Power off', request: { type: 'shutdown', kind: 'power-off' } },
  { path: '/v1/commit', summary: 'Confirm the release that is on trial', request: { type: 'commit' } },
  {
    path: '/v1/rollback',
    summary: 'Give the running slot up, and restart into the other',
    request: { type: 'rollback' },
  },
]

/** Streams at a time: each holds a connection to PID 1. */
const STREAMS_MAX = 8

/** So many of them are for those who may do more than look: an observer cannot keep the owner from watching an update. */
const STREAMS_KEPT = 2

/** A stream ends with the longest session, so that nobody listens for ever who was logged in once. */
const STREAM_MS = 60 * 60_000

/** A comment is sent this often: the server closes what is idle for half a minute. */
const BEAT_MS = 10_000

/** Their handlers. */
export function machineRoutes(device: Device): OpenAPIHono<ApiTypes> {
  const routes = new OpenAPIHono<ApiTypes>()
  routes.openapi(status, async (c) => c.json(await device.status(), 200))
  let streams = 0
  routes.openapi(events, (c) => {
    const most = c.get('role') === 'observe' ? STREAMS_MAX - STREAMS_KEPT : STREAMS_MAX
    if (streams >= most) throw new HTTPException(503, { message: `${streams} others listen` })
    streams += 1
    return streamSSE(c, async (stream) => {
      const stop = new AbortController()
      stream.onAbort(() => stop.abort())
      const signal = AbortSignal.any([stop.signal, AbortSignal.timeout(STREAM_MS)])
      const beat = setInterval(() => void stream.write(':\n\n'), BEAT_MS)
      try {
        for await (const each of device.watch(signal)) {
          await stream.writeSSE({ event: 'status', data: JSON.stringify(each) })
        }
      } finally {
        clearInterval(beat)
        streams -= 1
      }
    })
  })
  routes.openapi(reset, async (c) => {
    const { appliance } = c.req.valid('json')
    if (appliance !== device.appliance) {
      throw new HTTPException(409, { message: `this is ${device.appliance}, not ${appliance}` })
    }
    device.log('a factory reset was asked for')
    await device.ask({ type: 'factory-reset' })
    return c.body(null, 204)
  })
  for (const { path, summary, request } of commands) {
    routes.openapi(createRoute({ method: 'post', path, summary, responses: done('It will') }), async (c) => {
      device.log(`${path} was asked for`)
      await device.ask(request)
      return c.body(null, 204)
    })
  }
  return routes
}
