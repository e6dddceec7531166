// solo verify
import { buildCommand, type Command, type CommandContext } from '@stricli/core'
import { examineContents } from '@pkg/update/contents'
import { collectDocuments } from '@pkg/update/layout'
import { UpdateRefused } from '@pkg/update/refused'
import { readRelease, type Release, type ReleaseDocuments } from '@pkg/update/release'
import { readTrust } from '@pkg/update/trust'
import { explainRelease, type Finding } from '@pkg/update/verify'
import { SoloError } from '../error.ts'
import { trustTextOrKey } from '../keys/trust-place.ts'
import { openPlace } from '../release/place.ts'
import { print } from './output.ts'
import { parseCount } from './parse.ts'

interface Flags {
  readonly trust: string
  readonly reference?: string
  readonly board?: string
  readonly counter?: number
  readonly channel?: string
  readonly documents: boolean
  readonly json: boolean
}

/** Checks a release as a device does, and all of its blobs besides. */
export const verify: Command<CommandContext> = buildCommand<Flags, [place: string]>({
  docs: {
    brief: 'Check a release as a device does, and explain each check',
    fullDescription:
      'PLACE is a folder of releases, an archive of one (oci-archive of skopeo, tar), a URL of such a folder, or\n' +
      'oci://REGISTRY/NAME:TAG. Reads all blobs. Exit status 1 when a device would refuse it.',
  },
  parameters: {
    positional: {
      kind: 'tuple',
      parameters: [{ brief: 'Where the release is', placeholder: 'PLACE', parse: String }],
    },
    flags: {
      trust: {
        kind: 'parsed',
        parse: String,
        brief: 'Whom to believe: folder of a build, trust document, or .pub file',
        placeholder: 'FROM',
      },
      reference: {
        kind: 'parsed',
        parse: String,
        brief: 'Which release: a version or a channel',
        placeholder: 'NAME',
        optional: true,
      },
      board: {
        kind: 'parsed',
        parse: String,
        brief: 'Board of the device (default: as the release)',
        placeholder: 'BOARD',
        optional: true,
      },
      counter: {
        kind: 'parsed',
        parse: parseCount,
        brief: 'Counter of the release that the device runs',
        placeholder: 'N',
        optional: true,
      },
      channel: {
        kind: 'parsed',
        parse: String,
        brief: 'Channel that the device follows',
        placeholder: 'NAME',
        optional: true,
      },
      documents: { kind: 'boolean', brief: 'Check the documents only, not the blobs', withNegated: false },
      json: { kind: 'boolean', brief: 'Print the findings as JSON', withNegated: false },
    },
  },
  async func(flags, text) {
    await using place = await openPlace(text)
    const documents = await collectDocuments(place.source, flags.reference ?? place.reference).catch(
      refused(text),
    )
    const { findings, release } = await explain(documents, flags)
    const all = [...findings]
    if (!flags.json) for (const finding of findings) print(lineOf(finding))
    if (release !== undefined && !flags.documents) {
      for await (const finding of examineContents(release, place.source)) {
        all.push(finding)
        if (!flags.json) print(lineOf(finding))
      }
    }
    if (flags.json) print(JSON.stringify({ release: release ?? null, findings: all }))
    const failed = all.filter(({ ok }) => ok !== true)
    if (failed.length > 0)
      throw new SoloError(`a device refuses it: ${failed.map(({ title }) => title).join(', ')}`)
    if (!flags.json && release !== undefined)
      print(`${release.appliance} ${release.version} (counter ${release.counter}) is good`)
  },
})

/** What is not said of the device is taken as the release needs it. */
async function explain(
  documents: ReleaseDocuments,
  flags: Flags,
): Promise<{ findings: Finding[]; release?: Release }> {
  const told = tell(documents)
  const trust = readTrust(await trustTextOrKey(flags.trust, told?.appliance ?? 'unknown'))
  return explainRelease(documents, {
    ...{ trust, appliance: trust.appliance, board: flags.board ?? told?.board ?? 'unknown' },
    architecture: told?.architecture ?? 'x86_64',
    running: { version: 'what runs', counter: flags.counter ?? told?.minimumCounter ?? 0 },
    counterFloor: 0,
    nowSeconds: Math.floor(Date.now() / 1000),
    ...(flags.channel === undefined ? {} : { channel: flags.channel }),
  })
}

/** What the release says of itself, before anything is believed. */
function tell({ manifest }: ReleaseDocuments): Release | undefined {
  try {
    return readRelease(manifest)
  } catch (error) {
    if (error instanceof UpdateRefused) return undefined
    throw error
  }
}

function refused(place: string): (error: unknown) => never {
  return (error) => {
    if (error instanceof UpdateRefused) throw new SoloError(`${place}: ${error.message}`, { cause: error })
    throw error
  }
}

function lineOf({ title, ok, detail }: Finding): string {
  return `${ok === undefined ? '-' : ok ? '✓' : '✗'} ${title}: ${detail}`
}
