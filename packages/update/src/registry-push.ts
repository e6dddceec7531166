/** Putting a release into an OCI registry. */
import { createHash } from 'node:crypto'
import type { DocumentSource } from './layout.ts'
import { readIndex, readManifest } from './layout/manifests.ts'
import { emptyConfig, oci } from './release/media-types.ts'
import { type RegistryOptions, registryClient } from './registry-source.ts'
import { shown } from './source/http.ts'
import type { RegistryClient } from './source/registry-client.ts'
import { type BlobSource, SourceError } from './source.ts'

/** What goes where. */
export interface PushOptions extends RegistryOptions {
  /** Where the release is. */
  readonly from: BlobSource & DocumentSource
  /** Its name there; may be left out where there is one only. */
  readonly reference?: string
  /** The tags that it gets: its version, a channel. */
  readonly tags: readonly string[]
  /** Told of each blob when it is there, with how many bytes of it had to be sent. */
  readonly onBlob?: (digest: string, sentBytes: number) => void
  /** Ends it early; what is there stays. */
  readonly signal?: AbortSignal
}

/** What a registry takes at once; some want at least 5 MiB. */
const uploadBytes = 8 * 1024 * 1024

const emptyBytes = new TextEncoder().encode('{}')

/**
 * Pushes a release: blobs first, then manifests, and the tags last, so that nobody finds half of it.
 *
 * @returns the digest of its index
 * @throws SourceError what either side does not give or take; TypeError for what is no registry, repository or tag
 */
export async function pushRelease(options: PushOptions): Promise<string> {
  const { from, reference, tags, signal } = options
  const client = registryClient(options, 'pull,push')
  const pusher = new Pusher(client, options)
  const index = await from.index(reference, signal)
  await pusher.blob({ digest: emptyConfig.digest, size: emptyConfig.size }, () => [emptyBytes])
  for (const { digest, size } of readIndex(new TextDecoder().decode(index))) {
    const manifest = await from.document(digest, size, signal)
    for (const layer of readManifest(new TextDecoder().decode(manifest)).layers) {
      await pusher.blob(layer, (offset, length) => from.open(layer.digest, offset, length, signal))
    }
    await pusher.manifest(digest, oci.manifest, manifest)
  }
  const digest = `sha256:${createHash('sha256').update(index).digest('hex')}`
  for (const tag of tags) await pusher.manifest(tag, oci.index, index)
  return digest
}

interface Blob {
  readonly digest: string
  readonly size: number
}

type Open = (offset: number, length: number) => Iterable<Uint8Array> | AsyncIterable<Uint8Array>

class Pusher {
  readonly #client: RegistryClient
  readonly #options: PushOptions

  constructor(client: RegistryClient, options: PushOptions) {
    this.#client = client
    this.#options = options
  }

  async blob(blob: Blob, open: Open): Promise<void> {
    const { onBlob } = this.#options
    const there = await this.#send(this.#client.url(`blobs/${blob.digest}`), { method: 'HEAD' }, [200, 404])
    if (there.status === 404) await this.#upload(blob, open)
    onBlob?.(blob.digest, there.status === 404 ? blob.size : 0)
  }

  async manifest(name: string, type: string, bytes: Uint8Array): Promise<void> {
    const init = { method: 'PUT', headers: { 'content-type': type }, body: bytes }
    await this.#send(this.#client.url(`manifests/${name}`), init, [201])
  }

  async #upload({ digest, size }: Blob, open: Open): Promise<void> {
    const begun = this.#client.url('blobs/uploads/')
    let place = locationOf(begun, await this.#send(begun, { method: 'POST' }, [202]))
    for (let offset = 0; offset < size; offset += uploadBytes) {
      const length = Math.min(uploadBytes, size - offset)
      const body = new Uint8Array(length)
      let done = 0
      for await (const chunk of open(offset, length)) {
        if (done + chunk.length > length)
          throw new SourceError(`${digest}: the source gives more than it has`)
        body.set(chunk, done)
        done += chunk.length
      }
      if (done < length) throw new SourceError(`${digest}: the source ends after ${offset + done} bytes`)
      const headers = {
        'content-type': 'application/octet-stream',
        'content-range': `${offset}-${offset + length - 1}`,
      }
      place = locationOf(place, await this.#send(place, { method: 'PATCH', headers, body }, [202]))
    }
    place.searchParams.set('digest', digest)
    await this.#send(place, { method: 'PUT' }, [201])
  }

  async #send(url: URL, init: RequestInit, expected: readonly number[]): Promise<Response> {
    const { signal, stallTimeoutMs = 120_000 } = this.#options
    const inTime = AbortSignal.timeout(stallTimeoutMs)
    const either = signal === undefined ? inTime : AbortSignal.any([signal, inTime])
    const response = await this.#client.send(url, { ...init, signal: either })
    if (expected.includes(response.status)) {
      await response.body?.cancel()
      return response
    }
    const why = (await response.text()).slice(0, 300)
    throw new SourceError(`${init.method} ${shown(url)}: the registry answered ${response.status} ${why}`)
  }
}

/** Where an upload goes on. */
function locationOf(url: URL, response: Response): URL {
  const location = response.headers.get('location')
  if (location === null)
    throw new SourceError(`${shown(url)}: the registry does not say where the upload goes on`)
  return new URL(location, url)
}
