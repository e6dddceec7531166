// Building blocks of the routes. Type aliases, as interfaces have no index signature, which the library asks for.
import type { z } from '@hono/zod-openapi'
import { failureSchema } from '../schemas.ts'

type Json<T extends z.ZodType> = { 'application/json': { schema: T } }

const json = <T extends z.ZodType>(schema: T): Json<T> => ({ 'application/json': { schema } })

/** A body in JSON that has to be there. */
export function jsonBody<T extends z.ZodType>(schema: T): { body: { content: Json<T>; required: true } } {
  return { body: { content: json(schema), required: true } }
}

/** What every route can answer instead. */
type Failed = { default: { content: Json<typeof failureSchema>; description: string } }

/** That. */
export const otherwise: Failed = { default: { content: json(failureSchema), description: 'Why not' } }

/** An answer in JSON, or a failure. */
export function answers<T extends z.ZodType>(
  description: string,
  schema: T,
): { 200: { content: Json<T>; description: string } } & Failed {
  return { 200: { content: json(schema), description }, ...otherwise }
}

/** Done, with nothing to say; or a failure. */
export function done(description: string): { 204: { description: string } } & Failed {
  return { 204: { description }, ...otherwise }
}
