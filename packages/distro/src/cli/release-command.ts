// solo release
import { join, resolve } from 'node:path'
import { buildCommand, type Command, type CommandContext } from '@stricli/core'
import { UpdateRefused } from '@pkg/update/refused'
import { checkSigners } from '@pkg/update/verify'
import { readTrust } from '@pkg/update/trust'
import { kindOf } from '@pkg/vm/host'
import { buildAppliance } from '../build.ts'
import { chooseKey } from '../device/connect.ts'
import { SoloError } from '../error.ts'
import { readText, readTrustText } from '../keys/trust-place.ts'
import type { Progress } from '../progress.ts'
import { pushTo } from '../release/push.ts'
import {
  createRelease,
  type PointerOptions,
  type ReleaseResult,
  type SignOptions,
  signRelease,
} from '../release.ts'
import { parseExpiry } from './expiry.ts'
import { consoleProgress, print, tell } from './output.ts'
import { parseCount, parseFolder } from './parse.ts'

interface Flags {
  readonly out?: string
  readonly key?: readonly string[]
  readonly notes?: string
  readonly minimumCounter?: number
  readonly level?: number
  readonly trust?: readonly string[]
  readonly reference?: string
  readonly channel?: string
  readonly channelKey?: readonly string[]
  readonly expires?: number
  readonly percentage?: number
  readonly window?: { readonly from: string; readonly to: string }
  readonly hold: boolean
  readonly force: boolean
  readonly replace: boolean
  readonly push?: readonly string[]
  readonly json: boolean
}

/** Makes releases, signs them, and gives them to channels. */
export const release: Command<CommandContext> = buildCommand<Flags, [place?: string]>({
  docs: {
    brief: 'Make a signed release, sign one that is there, or give it to a channel',
    fullDescription:
      'PLACE is a folder with solo.config.ts, which is built first; a finished disk build; or a folder of releases, of\n' +
      'which one is signed by a further key, or given to a channel. The result is an OCI image layout: put it on a\n' +
      'stick or a web server, push it to a registry by --push, or have skopeo copy it:\n' +
      '  skopeo copy --all --preserve-digests oci:FOLDER:VERSION docker://REGISTRY/NAME:VERSION',
  },
  parameters: {
    positional: {
      kind: 'tuple',
      parameters: [
        { brief: 'What is released (default: .)', placeholder: 'PLACE', parse: String, optional: true },
      ],
    },
    flags: {
      out: {
        kind: 'parsed',
        parse: parseFolder,
        brief: 'Folder of releases (default: PLACE/release); those in it stay',
        placeholder: 'FOLDER',
        optional: true,
      },
      key: {
        kind: 'parsed',
        parse: String,
        variadic: true,
        optional: true,
        brief:
          'Key that signs: a private one, or the .pub file of one that ssh-agent holds (default: SOLO_KEY, ~/.ssh/id_ed25519)',
        placeholder: 'FILE',
      },
      notes: {
        kind: 'parsed',
        parse: String,
        brief: 'What is new, for people',
        placeholder: 'TEXT',
        optional: true,
      },
      minimumCounter: {
        kind: 'parsed',
        parse: parseCount,
        brief: 'Least counter of a release that this one may follow',
        placeholder: 'N',
        optional: true,
      },
      level: {
        kind: 'parsed',
        parse: parseLevel,
        brief: 'Compression, 1 (fast) to 19 (default: 19)',
        placeholder: 'N',
        optional: true,
      },
      trust: {
        kind: 'parsed',
        parse: String,
        variadic: true,
        optional: true,
        brief: 'Trust document of solo keys that goes with it',
        placeholder: 'FILE',
      },
      reference: {
        kind: 'parsed',
        parse: String,
        brief: 'With a folder of releases: which one',
        placeholder: 'NAME',
        optional: true,
      },
      channel: {
        kind: 'parsed',
        parse: String,
        brief: 'Channel that shall have it',
        placeholder: 'NAME',
        optional: true,
      },
      channelKey: {
        kind: 'parsed',
        parse: String,
        variadic: true,
        optional: true,
        brief: 'Key that signs for the channel (default: as --key)',
        placeholder: 'FILE',
      },
      expires: {
        kind: 'parsed',
        parse: parseExpiry,
        brief: 'With --channel: until when it may be believed, as 30d or 2027-11-30',
        placeholder: 'WHEN',
        optional: true,
      },
      percentage: {
        kind: 'parsed',
        parse: parsePercentage,
        brief: 'With --channel: how many of a hundred devices take it',
        placeholder: 'N',
        optional: true,
      },
      window: {
        kind: 'parsed',
        parse: parseWindow,
        brief: 'With --channel: when devices may begin, in UTC',
        placeholder: 'HH:MM-HH:MM',
        optional: true,
      },
      hold: { kind: 'boolean', brief: 'With --channel: no device takes it now', withNegated: false },
      force: { kind: 'boolean', brief: 'With --channel: devices take it at once', withNegated: false },
      replace: {
        kind: 'boolean',
        brief: 'Put it in the place of another release of the same version',
        withNegated: false,
      },
      push: {
        kind: 'parsed',
        parse: String,
        variadic: true,
        optional: true,
        brief: 'Registry that gets it, as tags of a repository; SOLO_REGISTRY_USER and _PASSWORD log in',
        placeholder: 'oci://HOST/NAME',
      },
      json: { kind: 'boolean', brief: 'Print what was made as JSON', withNegated: false },
    },
  },
  async func(flags, place = '.') {
    const progress = consoleProgress()
    const result = await make(place, flags, progress)
    for (const to of flags.push ?? []) await pushTo(to, { ...result, progress })
    if (flags.json)
      print(JSON.stringify({ folder: result.folder, names: result.names, release: result.release }))
    else print(result.folder)
    sayMissing(result)
  },
})

async function make(place: string, flags: Flags, progress: Progress): Promise<ReleaseResult> {
  if ((await kindOf(join(place, 'oci-layout'))) === 'file') {
    // A channel's pointer is renewed every few weeks, without another signature of the release.
    const keys = flags.key ?? (flags.channel === undefined ? [await chooseKey(undefined)] : [])
    return await signRelease(place, flags.reference, await signOptions(flags, keys, progress))
  }
  const keys = flags.key ?? [await chooseKey(undefined)]
  const options = await signOptions(flags, keys, progress)
  const { notes, minimumCounter, level, replace } = flags
  const build =
    (await kindOf(join(place, 'appliance.json'))) === 'file' ? place : await built(place, progress)
  return await createRelease(build, {
    ...options,
    out: flags.out ?? resolve(place, 'release'),
    replace,
    ...(notes === undefined ? {} : { notes }),
    ...(minimumCounter === undefined ? {} : { minimumCounter }),
    ...(level === undefined ? {} : { level }),
  })
}

async function built(place: string, progress: Progress): Promise<string> {
  // Devices' clocks are never earlier than this.
  const given = process.env['SOURCE_DATE_EPOCH'] !== undefined
  const now = given ? {} : { createdSeconds: Math.floor(Date.now() / 1000) }
  const { folder } = await buildAppliance(place, { format: 'disk', progress, ...now })
  return folder
}

async function signOptions(flags: Flags, keys: readonly string[], progress: Progress): Promise<SignOptions> {
  const channel = await channelOf(flags, keys)
  const trust: string[] = []
  for (const path of flags.trust ?? []) {
    await readTrustText(path)
    trust.push(await readText(path))
  }
  return { keys, trust, progress, ...(channel === undefined ? {} : { channel }) }
}

async function channelOf(flags: Flags, keys: readonly string[]): Promise<PointerOptions | undefined> {
  const { channel: name, channelKey, expires, percentage, window, hold, force } = flags
  if (name === undefined) {
    const given =
      [expires, percentage, window, channelKey].some((each) => each !== undefined) || hold || force
    if (given)
      throw new SoloError(
        '--expires, --percentage, --window, --hold, --force and --channel-key go with --channel',
        { exitStatus: 2 },
      )
    return undefined
  }
  if (expires === undefined) {
    throw new SoloError(
      '--channel needs --expires: until then a device may be held at this release by who controls its network',
      { exitStatus: 2 },
    )
  }
  return {
    name,
    keys: channelKey ?? (keys.length > 0 ? keys : [await chooseKey(undefined)]),
    issuedSeconds: Math.floor(Date.now() / 1000),
    expiresSeconds: expires,
    ...{ hold, force },
    ...(percentage === undefined ? {} : { percentage }),
    ...(window === undefined ? {} : { window }),
  }
}

/** Says what devices of this build would miss. */
function sayMissing({ trust, documents, folder }: ReleaseResult): void {
  if (trust === undefined) return
  try {
    checkSigners(documents, readTrust(trust))
  } catch (error) {
    if (!(error instanceof UpdateRefused)) throw error
    tell(
      `devices do not take it yet: ${error.message}\nothers sign it with: solo release ${folder} --key FILE`,
    )
  }
}

function parseLevel(text: string): number {
  const level = Number(text)
  if (/^\d+$/.test(text) && level >= 1 && level <= 19) return level
  throw new SyntaxError(`expected 1 to 19, got ${JSON.stringify(text)}`)
}

function parsePercentage(text: string): number {
  const percentage = Number(text)
  if (/^\d+$/.test(text) && percentage <= 100) return percentage
  throw new SyntaxError(`expected 0 to 100, got ${JSON.stringify(text)}`)
}

function parseWindow(text: string): { from: string; to: string } {
  const [, from, to] = /^((?:[01]\d|2[0-3]):[0-5]\d)-((?:[01]\d|2[0-3]):[0-5]\d)$/.exec(text) ?? []
  if (from !== undefined && to !== undefined) return { from, to }
  throw new SyntaxError(`expected times of day such as 02:00-04:30, got ${JSON.stringify(text)}`)
}
