// An update by push: the small documents first; after that the device asks for ranges of blobs.
import { createRoute, OpenAPIHono, z } from '@hono/zod-openapi'
import { readDocuments } from '@pkg/update/release'
import { HTTPException } from 'hono/http-exception'
import type { ApiTypes } from '../api.ts'
import type { Device } from '../device.ts'
import { documentsSchema, updateSchema, wantsSchema } from '../schemas.ts'
import type { Updates } from '../updates.ts'
import { answers, done, jsonBody } from './answers.ts'

/** A number as text, as it is in a path. What `z.coerce` takes may be anything, and is described so. */
const number = z
  .string()
  .regex(/^\d{1,15}$/)
  .transform(Number)
const oneUpdate = z.object({ update: number.openapi({ description: 'Number of the update' }) })

const begin = createRoute({
  ...{ method: 'post', path: '/v1/updates', summary: 'Begin an update' },
  request: jsonBody(documentsSchema),
  responses: answers(
    'It has begun; what it wants is asked for at `/v1/updates/{update}/wants`',
    updateSchema,
  ),
})

const stick = createRoute({
  ...{ method: 'post', path: '/v1/updates/from-stick', summary: 'Begin an update from a medium' },
  description:
    'The device looks for a release on what is plugged in, in its first folder or in one called `solo`.',
  responses: answers('It has begun', updateSchema),
})

const show = createRoute({
  ...{ method: 'get', path: '/v1/updates/{update}', summary: 'How an update stands' },
  request: { params: oneUpdate },
  responses: answers('The update', updateSchema),
})

const cancel = createRoute({
  ...{ method: 'delete', path: '/v1/updates/{update}', summary: 'Stop an update' },
  description: 'What is there already is kept: the next one goes on from it.',
  request: { params: oneUpdate },
  responses: done('It stops'),
})

const wants = createRoute({
  ...{ method: 'get', path: '/v1/updates/{update}/wants', summary: 'The ranges that are wanted next' },
  description:
    'Waits some seconds for wants above `after`, or for the end. With `after=0` all open ones are given again.',
  request: { params: oneUpdate, query: z.object({ after: number.optional() }) },
  responses: answers('Wants, maybe none', wantsSchema),
})

const answer = createRoute({
  ...{ method: 'put', path: '/v1/updates/{update}/wants/{want}', summary: 'Answer a want' },
  request: {
    params: oneUpdate.extend({ want: number }),
    body: {
      content: { 'application/octet-stream': { schema: z.string().meta({ format: 'binary' }) } },
      description: 'Exactly the bytes of the range',
      required: true,
    },
  },
  responses: done('Taken'),
})

/** Their handlers. */
export function updateRoutes(device: Device): OpenAPIHono<ApiTypes> {
  const routes = new OpenAPIHono<ApiTypes>()
  routes.openapi(begin, (c) => {
    return c.json(updatesOf(device).push(readDocuments(c.req.valid('json'))), 200)
  })
  routes.openapi(stick, (c) => c.json(updatesOf(device).stick(), 200))
  routes.openapi(show, (c) => {
    return c.json(find(device, c.req.valid('param').update).state, 200)
  })
  routes.openapi(cancel, (c) => {
    find(device, c.req.valid('param').update).updates.cancel('the client stopped it')
    return c.body(null, 204)
  })
  routes.openapi(wants, async (c) => {
    const { updates } = find(device, c.req.valid('param').update)
    return c.json(await updates.wants(c.req.valid('query').after ?? 0), 200)
  })
  routes.openapi(answer, async (c) => {
    const { update, want } = c.req.valid('param')
    const { updates } = find(device, update)
    const length = updates.wantLength(update, want)
    const given = c.req.header('content-length')
    if (length === undefined) throw new HTTPException(409, { message: `want ${want} is not open` })
    if (given !== String(length)) {
      throw new HTTPException(400, { message: `want ${want} has ${length} bytes, not ${given ?? '?'}` })
    }
    const bytes = new Uint8Array(await c.req.raw.arrayBuffer())
    // Meanwhile this update may have ended, and another one begun.
    if (!updates.answer(update, want, bytes))
      throw new HTTPException(409, { message: `want ${want} is no longer open` })
    return c.body(null, 204)
  })
  return routes
}

function updatesOf({ updates }: Device): Updates {
  if (updates !== null) return updates
  throw new HTTPException(409, { message: 'this image takes no updates: it was built without updates' })
}

function find({ updates }: Device, id: number): { updates: Updates; state: NonNullable<Updates['state']> } {
  const state = updates?.state ?? null
  if (updates !== null && state?.id === id) return { updates, state }
  throw new HTTPException(404, {
    message: `there is no update ${id}; the last one is ${state?.id ?? 'none'}`,
  })
}
