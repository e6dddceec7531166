// solo keys: keys for signing, and the documents that tell devices whom to believe.
import { writeFile } from 'node:fs/promises'
import { buildCommand, buildRouteMap, type Command, type CommandContext, type RouteMap } from '@stricli/core'
import { parsePublicKey } from '@pkg/update/ssh-key'
import type { TrustDocument } from '@pkg/update/trust'
import { SoloError } from '../error.ts'
import { makeKey } from '../keys/make-key.ts'
import { nextTrust, type RoleName, roleNames, signTrust, type TrustChanges } from '../keys/rotate.ts'
import { readPublicKey, readText, readTrustDocument, readTrustText } from '../keys/trust-place.ts'
import { parseExpiry } from './expiry.ts'
import { print, tell } from './output.ts'
import { parseCount } from './parse.ts'

const fromParameter = {
  brief: 'Folder of a build, or a file with a trust document',
  placeholder: 'FROM',
  parse: String,
} as const

interface NewFlags {
  readonly token: boolean
  readonly comment?: string
}

const make: Command<CommandContext> = buildCommand<NewFlags, [file: string]>({
  docs: {
    brief: 'Make a key by ssh-keygen, in a file or in a hardware token',
    fullDescription:
      'ssh-keygen asks for a passphrase. Prints the public key, which goes into solo.config.ts (updates).',
  },
  parameters: {
    positional: {
      kind: 'tuple',
      parameters: [
        {
          brief: 'File for the private key; .pub is put behind it for the public one',
          placeholder: 'FILE',
          parse: String,
        },
      ],
    },
    flags: {
      token: {
        kind: 'boolean',
        brief: 'Make it in a FIDO token, which is touched for each signature',
        withNegated: false,
      },
      comment: {
        kind: 'parsed',
        parse: String,
        brief: 'Who or what it is (default: user@host)',
        placeholder: 'TEXT',
        optional: true,
      },
    },
  },
  async func({ token, comment }, file) {
    print(await makeKey(file, { token, ...(comment === undefined ? {} : { comment }) }))
  },
})

const list: Command<CommandContext> = buildCommand<{ readonly json: boolean }, [from: string]>({
  docs: { brief: 'Say whom a trust document believes' },
  parameters: {
    positional: { kind: 'tuple', parameters: [fromParameter] },
    flags: { json: { kind: 'boolean', brief: 'Print the document', withNegated: false } },
  },
  async func({ json }, from) {
    const document = await readTrustDocument(from)
    if (json) print(JSON.stringify(document))
    else for (const line of lines(document)) print(line)
  },
})

function lines({ version, appliance, expires, roles, revoked = [] }: TrustDocument): string[] {
  const found = [`${appliance}, version ${version}${expires === undefined ? '' : `, until ${expires}`}`]
  for (const name of roleNames) {
    const role = roles[name]
    if (role === undefined) continue
    found.push(`${name}: ${role.threshold} of ${role.keys.length}`)
    for (const key of role.keys) {
      const { fingerprint, type, comment } = parsePublicKey(key)
      found.push(`  ${fingerprint} ${type} ${comment}`.trimEnd())
    }
  }
  return [...found, ...revoked.map((fingerprint) => `revoked: ${fingerprint}`)]
}

interface NextFlags {
  readonly out: string
  readonly key: readonly string[]
  readonly expires?: number
}

interface RotateFlags extends NextFlags {
  readonly add?: readonly { readonly role: RoleName; readonly value: string }[]
  readonly remove?: readonly string[]
  readonly threshold?: readonly { readonly role: RoleName; readonly value: string }[]
}

const nextFlags = {
  out: {
    kind: 'parsed',
    parse: String,
    brief: 'File for the new document with its signatures',
    placeholder: 'FILE',
  },
  key: {
    kind: 'parsed',
    parse: String,
    variadic: true,
    brief: 'Key that signs it: those of the old document that are for trust, and those of the new one',
    placeholder: 'KEY',
  },
  expires: {
    kind: 'parsed',
    parse: parseExpiry,
    brief: 'When it ends, as 400d or 2027-11-30 (default: as before)',
    placeholder: 'WHEN',
    optional: true,
  },
} as const

const rotate: Command<CommandContext> = buildCommand<RotateFlags, [from: string]>({
  docs: {
    brief: 'Make the next trust document: keys come, keys go',
    fullDescription:
      'Devices take it when enough trust keys of the present document and of the new one have signed it; others add\n' +
      'their signatures with solo keys sign. It goes with releases: solo release --trust FILE. Put the same keys into\n' +
      'solo.config.ts and raise updates.trustVersion.',
  },
  parameters: {
    positional: { kind: 'tuple', parameters: [fromParameter] },
    flags: {
      ...nextFlags,
      add: {
        kind: 'parsed',
        parse: parseRole,
        variadic: true,
        optional: true,
        brief: 'Key that comes: release=, channel= or trust= and a .pub file',
        placeholder: 'ROLE=FILE',
      },
      remove: {
        kind: 'parsed',
        parse: String,
        variadic: true,
        optional: true,
        brief: 'Key that goes: its fingerprint, or a .pub file',
        placeholder: 'KEY',
      },
      threshold: {
        kind: 'parsed',
        parse: parseRole,
        variadic: true,
        optional: true,
        brief: 'How many must sign',
        placeholder: 'ROLE=COUNT',
      },
    },
  },
  async func({ add = [], remove = [], threshold = [], ...flags }, from) {
    await writeNext(from, flags, {
      add: await Promise.all(add.map(async ({ role, value }) => ({ role, key: await readPublicKey(value) }))),
      remove: await fingerprints(remove),
      thresholds: threshold.map(({ role, value }) => ({ role, count: parseCount(value) })),
    })
  },
})

const revoke: Command<CommandContext> = buildCommand<NextFlags, [from: string, ...keys: string[]]>({
  docs: {
    brief: 'Make the next trust document, in which keys are revoked',
    fullDescription:
      'What a revoked key signed no longer counts. See solo keys rotate --help for how devices get it.',
  },
  parameters: {
    positional: {
      kind: 'array',
      parameter: {
        brief: 'FROM as for rotate, then the keys: fingerprints or .pub files',
        placeholder: 'FROM KEY',
        parse: String,
      },
      minimum: 2,
    },
    flags: nextFlags,
  },
  async func(flags, from, ...keys) {
    await writeNext(from, flags, { revoke: await fingerprints(keys) })
  },
})

async function writeNext(
  from: string,
  { out, key, expires }: NextFlags,
  changes: TrustChanges,
): Promise<void> {
  const present = await readTrustText(from)
  const until = expires === undefined ? {} : { expires: new Date(expires * 1000).toISOString() }
  const document = nextTrust(JSON.parse(present) as TrustDocument, { ...changes, ...until })
  const { envelope, missing } = await signTrust(present, document, [], key)
  await writeFile(out, envelope)
  print(out)
  sayMissing(missing, out)
}

interface SignFlags {
  readonly key: readonly string[]
  readonly present: string
}

const sign: Command<CommandContext> = buildCommand<SignFlags, [file: string]>({
  docs: { brief: 'Add signatures to a trust document that solo keys made' },
  parameters: {
    positional: { kind: 'tuple', parameters: [{ brief: 'The file', placeholder: 'FILE', parse: String }] },
    flags: {
      key: nextFlags.key,
      present: {
        kind: 'parsed',
        parse: String,
        brief: 'What devices have now: folder of a build, or a file',
        placeholder: 'FROM',
      },
    },
  },
  async func({ key, present }, file) {
    const document = await readTrustText(file)
    const { signatures = [] } = JSON.parse(await readText(file)) as { signatures?: readonly string[] }
    const { envelope, missing } = await signTrust(await readTrustText(present), document, signatures, key)
    await writeFile(file, envelope)
    print(file)
    sayMissing(missing, file)
  },
})

function sayMissing(missing: string | undefined, file: string): void {
  if (missing === undefined) tell('devices take it')
  else
    tell(`devices do not take it yet: ${missing}\nothers add their signatures with: solo keys sign ${file}`)
}

async function fingerprints(keys: readonly string[]): Promise<string[]> {
  return await Promise.all(
    keys.map(async (key) => {
      if (/^SHA256:[A-Za-z0-9+/]{43}$/.test(key)) return key
      if (!key.endsWith('.pub'))
        throw new SoloError(`expected a fingerprint (SHA256:…) or a .pub file, got ${JSON.stringify(key)}`, {
          exitStatus: 2,
        })
      return parsePublicKey(await readPublicKey(key)).fingerprint
    }),
  )
}

function parseRole(text: string): { role: RoleName; value: string } {
  const [word = '', value = ''] = text.split(/=(.*)/s)
  const role = roleNames.find((each) => each === word)
  if (role === undefined || value === '') {
    throw new SyntaxError(`expected ${roleNames.join('=…, ')}=…, got ${JSON.stringify(text)}`)
  }
  return { role, value }
}

/** solo keys. */
export const keys: RouteMap<CommandContext> = buildRouteMap({
  routes: { new: make, list, rotate, revoke, sign },
  docs: { brief: 'Make keys for signing, and say whom devices believe' },
})
