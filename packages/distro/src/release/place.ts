// Where a release is, as people name it: a folder, an archive, a web server, a registry.
import { openArchiveSource } from '@pkg/update/archive-source'
import { folderSource } from '@pkg/update/folder-source'
import { httpSource } from '@pkg/update/http-source'
import type { DocumentSource } from '@pkg/update/layout'
import { registrySource } from '@pkg/update/registry-source'
import type { BlobSource } from '@pkg/update/source'
import { kindOf } from '@pkg/vm/host'
import { SoloError } from '../error.ts'

/** A place that is open; close it by `await using`. */
export interface ReleasePlace extends AsyncDisposable {
  readonly source: BlobSource & DocumentSource
  /** The name of a release, when the place has one in it: the tag of `oci://host/name:tag`. */
  readonly reference?: string
}

/** A repository of a registry, and a tag. */
export interface RegistryPlace {
  readonly registry: string
  readonly repository: string
  readonly tag?: string
}

/**
 * Opens a place.
 *
 * @param text - path of a folder with an OCI layout, or of an archive of one; `https://…` of such a folder; or
 *   `oci://host/name:tag`
 * @throws SoloError when it can be none of them
 */
export async function openPlace(text: string): Promise<ReleasePlace> {
  if (/^oci(\+http)?:\/\//.test(text)) {
    const { tag, ...where } = parseRegistry(text)
    return {
      source: registrySource(where),
      ...(tag === undefined ? {} : { reference: tag }),
      ...nothingToClose,
    }
  }
  if (/^https?:\/\//.test(text)) return { source: httpSource(text), ...nothingToClose }
  const kind = await kindOf(text)
  if (kind === 'folder') return { source: folderSource(text), ...nothingToClose }
  if (kind !== 'file') {
    throw new SoloError(
      `${text}: expected a folder with a release, an archive of one, or a URL, found ${kind === undefined ? 'nothing' : 'something else'}`,
      { exitStatus: 2 },
    )
  }
  const archive = await openArchiveSource(text)
  return { source: archive, [Symbol.asyncDispose]: () => archive[Symbol.asyncDispose]() }
}

const nothingToClose: AsyncDisposable = { [Symbol.asyncDispose]: () => Promise.resolve() }

/**
 * Reads `oci://host/name:tag`. `oci+http://`, and a registry on this machine as others' tools do, are spoken to without
 * TLS.
 *
 * @throws SoloError for anything else
 */
export function parseRegistry(text: string): RegistryPlace {
  const [, plain, host, repository, tag] =
    /^oci(\+http)?:\/\/([^/@\s]+)\/([^:@\s]+)(?::([\w.-]+))?$/.exec(text) ?? []
  if (host === undefined || repository === undefined) {
    throw new SoloError(`expected oci://HOST/NAME or oci://HOST/NAME:TAG, got ${JSON.stringify(text)}`, {
      exitStatus: 2,
    })
  }
  const isHere = /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])(:\d+)?$/.test(host)
  return {
    registry: `${isHere || plain !== undefined ? 'http' : 'https'}://${host}`,
    repository,
    ...(tag === undefined ? {} : { tag }),
  }
}
