/**
 * Making releases: from the disk of a finished build to an OCI layout that is signed, and signing one that is there,
 * by further people or for a channel.
 */
import { join } from 'node:path'
import { UpdateRefused } from '@pkg/update/refused'
import type { Release, ReleaseDocuments } from '@pkg/update/release'
import { readRelease } from '@pkg/update/release'
import { folderSource } from '@pkg/update/folder-source'
import { collectDocuments } from '@pkg/update/layout'
import { namespaces } from '@pkg/update/trust'
import { publishRelease, writeReleaseBlobs } from '@pkg/update/write-release'
import { kindOf } from '@pkg/vm/host'
import { SoloError } from './error.ts'
import { type Progress, silent } from './progress.ts'
import { openBuiltDisk } from './release/built-disk.ts'
import { type PointerOptions, signPointer } from './release/channel-pointer.ts'
import { mergeSignatures } from './release/signatures.ts'
import { signSsh } from './ssh/sign.ts'

export { TRUST_FILE } from './release/built-disk.ts'
export type { PointerOptions } from './release/channel-pointer.ts'

/** What is added to a release that is there. */
export interface SignOptions {
  /** Paths of keys that sign the release, private or public ones (`signSsh`); may be none. */
  readonly keys: readonly string[]
  /** Trust documents that go with it, as `solo keys` makes them. Default: none. */
  readonly trust?: readonly string[]
  /** A channel that shall have it. Default: none. */
  readonly channel?: PointerOptions
  /** Hears what is done. Default: nobody. */
  readonly progress?: Progress
}

/** How a release is made. */
export interface ReleaseOptions extends SignOptions {
  /** The folder of the layout. Releases that are there stay. */
  readonly out: string
  /** What is new, for people. Default: nothing. */
  readonly notes?: string
  /** The least counter of a running release that may be followed by this one. Default: 0, any. */
  readonly minimumCounter?: number
  /** Of Zstandard, 1 to 19. Default: 19; 3 takes seconds where 19 takes minutes. */
  readonly level?: number
  /** Put it in the place of another release of the same version. Default: false, that is an error. */
  readonly replace?: boolean
}

/** A release in a layout. */
export interface ReleaseResult {
  /** The layout's folder. */
  readonly folder: string
  /** The names under which it is found there: its version, and the channel's. */
  readonly names: readonly string[]
  /** What the release is. */
  readonly release: Release
  /** Its documents, as a device sees them. */
  readonly documents: ReleaseDocuments
  /** The trust document of its image, when it was made of a build that has one. */
  readonly trust?: string
}

/**
 * Makes a release of what a build put on its disk.
 *
 * @param build - the folder of a build of format `disk`
 * @throws SoloError for what cannot be had, signed or written
 *
 * @example
 * ```ts no-run
 * import { buildAppliance } from '@pkg/distro/build'
 * import { createRelease } from '@pkg/distro/release'
 *
 * const { folder } = await buildAppliance('examples/hello', { format: 'disk' })
 * const { release } = await createRelease(folder, { out: 'release', keys: ['/home/me/.ssh/id_ed25519'] })
 * console.log(release.version, release.manifestDigest)
 * ```
 */
export async function createRelease(build: string, options: ReleaseOptions): Promise<ReleaseResult> {
  const { out, notes, minimumCounter, level, progress = silent } = options
  await using disk = await openBuiltDisk(build)
  const content = {
    ...disk.content,
    ...(notes === undefined ? {} : { notes }),
    ...(minimumCounter === undefined ? {} : { minimumCounter }),
  }
  progress.step('release')
  const { manifest, release } = await writeReleaseBlobs(out, content, {
    ...(level === undefined ? {} : { level }),
    onStep: (what) => progress.percent(what, 0),
  }).catch(explained)
  progress.done(`${release.appliance} ${release.version}, counter ${release.counter}`)
  if (options.replace !== true) await checkNoOther(out, release)
  const result = await complete(out, { manifest, signatures: [], trust: [] }, options)
  return disk.trust === undefined ? result : { ...result, trust: disk.trust }
}

/** Two releases of one version: a device that has the first would never take the second. */
async function checkNoOther(folder: string, { version, counter, manifestDigest }: Release): Promise<void> {
  if ((await kindOf(join(folder, 'index.json'))) === undefined) return
  let present: Release
  try {
    present = readRelease((await collectDocuments(folderSource(folder), tagOf(version))).manifest)
  } catch (error) {
    if (error instanceof UpdateRefused) return
    throw error
  }
  if (present.manifestDigest === manifestDigest) return
  throw new SoloError(
    `${folder} has another release ${version} (counter ${present.counter}), this one has counter ${counter}: raise version ` +
      'and release in solo.config.ts, or say --replace',
  )
}

/**
 * Signs a release that is in a layout, by one more key, or gives it to a channel.
 *
 * @param folder - of the layout
 * @param reference - the release's name there; may be left out when it is the only one
 * @throws SoloError when there is none, or it cannot be signed
 */
export async function signRelease(
  folder: string,
  reference: string | undefined,
  options: SignOptions,
): Promise<ReleaseResult> {
  const { channel: _, ...documents } = await collectDocuments(folderSource(folder), reference).catch(
    explained,
  )
  return await complete(folder, documents, options)
}

async function complete(
  folder: string,
  present: ReleaseDocuments,
  { keys, trust = [], channel, progress = silent }: SignOptions,
): Promise<ReleaseResult> {
  const release = readRelease(present.manifest)
  const added: string[] = []
  for (const key of keys) {
    progress.step(`sign by ${key}`)
    added.push(await signSsh({ message: present.manifest, namespace: namespaces.release, key }))
    progress.done('release signed')
  }
  const documents: ReleaseDocuments = {
    manifest: present.manifest,
    signatures: mergeSignatures(present.signatures, added),
    trust: [...new Set([...present.trust, ...trust])],
  }
  const version = tagOf(release.version)
  await publishRelease(folder, documents, [version])
  if (channel === undefined) return { folder, names: [version], release, documents }
  progress.step(`channel ${channel.name}`)
  const pointed = { ...documents, channel: await signPointer(release, present.manifest, channel) }
  await publishRelease(folder, pointed, [channel.name])
  progress.done(`${channel.name} has ${release.version}`)
  return { folder, names: [version, channel.name], release, documents: pointed }
}

/** A registry's tags have neither `+` nor `~`. */
function tagOf(version: string): string {
  return version.replaceAll(/[+~]/g, '_')
}

function explained(error: unknown): never {
  if (error instanceof UpdateRefused) throw new SoloError(error.message, { cause: error })
  throw error
}
