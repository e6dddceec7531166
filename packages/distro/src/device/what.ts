// What is pushed: a release that is there, in a folder or on a server, or one that is made now from sources.
import { rm } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { collectDocuments } from '@pkg/update/layout'
import { UpdateRefused } from '@pkg/update/refused'
import { readRelease } from '@pkg/update/release'
import { kindOf } from '@pkg/vm/host'
import type { DeviceStatus } from '../agent/bodies.ts'
import { buildAppliance } from '../build.ts'
import { configName, loadAppliance } from '../config/load.ts'
import { SoloError } from '../error.ts'
import type { Progress } from '../progress.ts'
import { createRelease } from '../release.ts'
import { openPlace } from '../release/place.ts'
import type { PushedRelease } from './push.ts'

/** Zstandard's lowest: the device asks for raw ranges when it has most of a release already. */
const DEVELOPMENT_LEVEL = 1

/** What is to be pushed. */
export interface WhatOptions {
  /** A folder or an address; see {@link findRelease}. */
  readonly what: string
  /** Name of the release, where there are several. */
  readonly reference?: string
  /** Keys that sign a release that is made now. */
  readonly keys: readonly string[]
  /** How the device is: a release that is made now follows the one that runs. */
  readonly status: DeviceStatus
  readonly progress: Progress
}

/** A release, and what it is called; close it by `await using`. */
export interface FoundRelease extends PushedRelease, AsyncDisposable {
  readonly version: string
  readonly counter: number
}

/**
 * Finds a release in a folder, an archive or on a server, or makes one from a folder with solo.config.ts.
 *
 * @throws SoloError there is none, or it cannot be made
 */
export async function findRelease(options: WhatOptions): Promise<FoundRelease> {
  const { what, reference } = options
  if ((await kindOf(join(what, configName))) === 'file') return await openRelease(await makeRelease(options))
  return await openRelease(what, reference)
}

async function openRelease(text: string, reference?: string): Promise<FoundRelease> {
  const place = await openPlace(text)
  try {
    const documents = await collectDocuments(place.source, reference ?? place.reference)
    const { version, counter } = readRelease(documents.manifest)
    const { source } = place
    return { documents, source, version, counter, [Symbol.asyncDispose]: () => place[Symbol.asyncDispose]() }
  } catch (error) {
    await place[Symbol.asyncDispose]()
    throw error instanceof UpdateRefused ? new SoloError(error.message, { cause: error }) : error
  }
}

/** Builds and signs a release; gives its folder. */
async function makeRelease({ what, keys, status, progress }: WhatOptions): Promise<string> {
  const { config } = await loadAppliance(what)
  if (config.updates === undefined) {
    throw new SoloError(`${join(what, configName)}: expected updates, which say who signs releases`, {
      exitStatus: 2,
    })
  }
  const { boot } = status.machine
  const asked = config.release ?? 1
  // Above what was blessed, also when an older one runs: of the same number it would be no trial.
  const counter = Math.max(asked, boot.counterFloor + 1, (boot.release?.counter ?? 0) + 1)
  const version =
    counter === asked
      ? (config.version ?? String(asked))
      : [config.version, counter].filter(Boolean).join('+')
  const out = resolve(what, 'build')
  const { folder } = await buildAppliance(what, {
    ...{ format: 'disk', out, progress, release: { counter, version } },
    // A release is made at a time, which SOURCE_DATE_EPOCH can set, as for all builds.
    ...(process.env['SOURCE_DATE_EPOCH'] === undefined
      ? { createdSeconds: Math.floor(Date.now() / 1000) }
      : {}),
  })
  // Of one that was made before nothing is needed: it would only take room.
  const releaseFolder = join(folder, 'release')
  await rm(releaseFolder, { recursive: true, force: true })
  await createRelease(folder, { out: releaseFolder, keys, level: DEVELOPMENT_LEVEL, progress })
  return releaseFolder
}
