// The bodies of the API as schemas: they check what comes in, and describe both sides in the OpenAPI document.
import { z } from '@hono/zod-openapi'
import type {
  Challenge,
  Credentials,
  DeviceStatus,
  Failure,
  Health,
  OpenedSession,
  UpdateState,
  WantsAnswer,
} from './bodies.ts'
import { roles } from './roles.ts'

const named = <T>(name: string, schema: z.ZodType<T>): z.ZodType<T> => schema.openapi(name)
const said = <T extends z.ZodType>(schema: T, description: string): T => schema.meta({ description })

/** `nullable()` of a schema with a name is not in the document, or contradicts itself there. */
const orNull = <T>(schema: z.ZodType<T>): z.ZodType<T | null> => z.union([schema, z.null()])

/** An answer that is not a success. */
export const failureSchema: z.ZodType<Failure> = named(
  'Failure',
  z.object({
    code: said(z.string(), 'For programs: the check that was not passed, or a word such as `unauthorized`'),
    message: said(z.string(), 'For people'),
  }),
)

/** See {@link Health}. */
export const healthSchema: z.ZodType<Health> = named(
  'Health',
  z.object({ ok: z.literal(true), name: said(z.string(), 'Host name of the device') }),
)

/** See {@link Challenge}. */
export const challengeSchema: z.ZodType<Challenge> = named(
  'Challenge',
  z.object({ challenge: said(z.string(), 'To be signed, once'), expiresInSeconds: z.number() }),
)

/** See {@link Credentials}. */
export const credentialsSchema: z.ZodType<Credentials, Credentials> = z
  .strictObject({
    challenge: z.string().max(256),
    signature: said(
      z.string().max(4096),
      'SSH signature (`ssh-keygen -Y sign -n solo-session`), armored, of the three lines `solo session`, ' +
        '`challenge CHALLENGE` and `certificate FINGERPRINT`, each ended by a newline; FINGERPRINT is the SHA-256 of ' +
        'the certificate that the client sees, as bytes in upper-case hexadecimal with colons between them',
    ),
  })
  .openapi('Credentials')

/** See {@link OpenedSession}. */
export const sessionSchema: z.ZodType<OpenedSession> = named(
  'Session',
  z.object({
    token: said(z.string(), 'For `Authorization: Bearer`, from the same address'),
    role: said(z.enum(roles), 'What may be done with it: each role may do what those before it may'),
    expiresInSeconds: said(z.number(), 'It ends when it is not used for so long'),
  }),
)

const text = z.string().nullable()
const count = z.number().nullable()

const release = z.object({
  ...{ appliance: z.string(), version: z.string(), counter: z.number(), board: z.string() },
  ...{ architecture: z.string(), created: z.string() },
})

const boot = z
  .object({
    ...{ slot: text, entry: text, release: release.nullable(), trial: z.boolean(), blessed: z.boolean() },
    disk: text,
    partitions: z.object({ esp: text, 'root-a': text, 'root-b': text, data: text }),
    lastRollback: z
      .object({
        from: z.object({ slot: z.string(), version: text, counter: count }),
        reason: z.string(),
        at: z.string(),
      })
      .nullable(),
    counterFloor: said(z.number(), 'No release with a smaller counter may be installed'),
    clock: z.enum(['machine', 'saved', 'build', 'sntp']),
  })
  .openapi('Boot')

const statuses = ['waiting', 'starting', 'activating', 'running', 'stopping'] as const
const moreStatuses = ['killing', 'backoff', 'done', 'failed', 'stopped'] as const

const service = z
  .object({
    ...{ name: z.string(), status: z.enum([...statuses, ...moreStatuses]), required: z.boolean() },
    ...{ ready: z.boolean(), healthy: z.boolean().nullable(), pid: count, uptimeMs: count },
    ...{ starts: z.number(), crashes: z.number() },
    exit: z.object({ code: count, signal: count }).nullable(),
    ...{ reason: z.string(), note: z.string() },
  })
  .openapi('Service')

const machine = z
  .object({
    ...{ uptimeMs: z.number(), ready: z.boolean() },
    shutdown: z.enum(['power-off', 'reboot', 'halt', 'kexec']).nullable(),
    gate: z.object({ state: z.enum(['waiting', 'passed', 'failed']), reason: z.string() }).nullable(),
    boot,
    services: z.array(service).readonly(),
  })
  .openapi('Machine')

/** See {@link UpdateState}. */
export const updateSchema: z.ZodType<UpdateState> = named(
  'Update',
  z.object({
    id: z.number(),
    origin: z.enum(['push', 'channel', 'stick']),
    state: z.enum(['running', 'installed', 'refused', 'failed']),
    ...{ phase: z.string(), doneBytes: z.number(), totalBytes: z.number(), fetchedBytes: z.number() },
    release: z.object({ version: z.string(), counter: z.number() }).nullable(),
    slot: text,
    failure: orNull(failureSchema),
  }),
)

const slot = z
  .object({
    slot: z.string(),
    running: z.boolean(),
    condition: z.enum(['whole', 'partial', 'empty']),
    ...{ version: text, counter: count, triesLeft: count, doneBytes: count, totalBytes: count },
  })
  .openapi('Slot')

/** See {@link DeviceStatus}. */
export const statusSchema: z.ZodType<DeviceStatus> = named(
  'Status',
  z.object({
    machine,
    slots: z.array(slot).readonly().nullable(),
    update: orNull(updateSchema),
    channel: z.object({ name: z.string(), lookedAt: text, detail: z.string() }).nullable(),
  }),
)

const want = z
  .object({
    ...{ id: z.number(), digest: z.string() },
    offset: said(z.number(), 'In bytes'),
    length: said(z.number(), 'In bytes'),
  })
  .openapi('Want')

/** See {@link WantsAnswer}. */
export const wantsSchema: z.ZodType<WantsAnswer> = named(
  'Wants',
  z.object({ wants: z.array(want).readonly(), update: updateSchema }),
)

/** What an update begins with; `@pkg/update` reads it, and has the bounds. */
export const documentsSchema: z.ZodType<Documents, Documents> = z
  .looseObject({
    manifest: said(z.string(), 'The release manifest, byte for byte'),
    signatures: said(z.array(z.string()).readonly(), 'SSH signatures of it, armored'),
    trust: said(z.array(z.string()).readonly(), 'Envelopes of newer trust documents, oldest first'),
    channel: z.string().optional(),
  })
  .openapi('Documents')

/** The shape of an update's documents, before they were read. */
export interface Documents {
  readonly manifest: string
  readonly signatures: readonly string[]
  readonly trust: readonly string[]
  readonly channel?: string | undefined
}

/** A factory reset is asked for with the appliance's name, so that no slip of the hand does it. */
export const resetSchema: z.ZodType<{ appliance: string }, { appliance: string }> = z
  .strictObject({ appliance: said(z.string(), "The appliance's name, as a confirmation") })
  .openapi('Reset')
