// The shapes of the JSON documents of a release, and how their mistakes are told.
import { z } from 'zod'
import { type RefusedCheck, UpdateRefused } from '../refused.ts'

/** `sha256:…`; nothing else, so that a digest can be part of a path. */
export const digest: z.ZodString = z
  .string()
  .regex(/^sha256:[0-9a-f]{64}$/, 'expected sha256:<64 hexadecimal digits>')

/** Names of appliances, boards and channels; they may become parts of paths and tags. */
export const name: z.ZodString = z
  .string()
  .regex(/^[a-z][a-z0-9-]{0,62}$/, 'expected lower-case letters, digits and -, beginning with a letter')

/** As `version` of solo.config.ts, but neither `..` nor an option of a program. */
export const version: z.ZodString = z
  .string()
  .regex(/^\w[\w.+~-]{0,63}$/, 'expected 1 to 64 letters, digits or . _ + ~ -, first a letter or a digit')

/** The processors that appliances are built for. */
export const architecture: z.ZodEnum<{ x86_64: 'x86_64'; aarch64: 'aarch64' }> = z.enum(['x86_64', 'aarch64'])

/** The largest counter: the loader compares numbers of any length, PID 1 and the configuration keep to this. */
export const counterMax = 0x7fff_ffff

/** A release's counter. */
export const counter: z.ZodInt = z.int().min(1).max(counterMax)

/** Seconds since 1970 until the year 9999. */
export const seconds: z.ZodInt = z.int().min(0).max(253_402_300_799)

/**
 * Reads JSON of a known shape.
 *
 * @param what - for messages: `the channel pointer`
 * @throws UpdateRefused with `check` for anything else
 */
export function readJson<T>(
  text: string,
  schema: z.ZodType<T>,
  what: string,
  check: RefusedCheck = 'format',
): T {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw new UpdateRefused(check, `${what} is no JSON: ${String(cause)}`, { cause })
  }
  return readValue(value, schema, what, check)
}

/** The same for what is read already. */
export function readValue<T>(
  value: unknown,
  schema: z.ZodType<T>,
  what: string,
  check: RefusedCheck = 'format',
): T {
  const result = schema.safeParse(value)
  if (result.success) return result.data
  const [issue] = result.error.issues
  const path = issue?.path.map(String).join('.') ?? ''
  throw new UpdateRefused(
    check,
    `${what}${path === '' ? '' : `: ${path}`}: ${issue?.message ?? 'not as expected'}`,
  )
}
