// A channel with one release, as a source gives it.
import { createHash } from 'node:crypto'
import type { DocumentSource } from '../../src/layout.ts'
import { indexText, manifestText } from '../../src/layout/compose.ts'
import {
  CHANNEL_TYPE,
  POINTER_TYPE,
  SIGNATURES_TYPE,
  SSH_SIGNATURE_TYPE,
} from '../../src/release/media-types.ts'
import { type BlobSource, SourceError } from '../../src/source.ts'
import { writeEnvelope } from '../../src/trust.ts'
import type { SampleRelease } from './sample-release.ts'
import type { Signer } from './signer.ts'

const DAY_MS = 24 * 60 * 60_000

/** What is published, by whom, and when. */
export interface Published {
  readonly sample: SampleRelease
  readonly signer: Signer
  readonly atMs: number
}

/** A channel as it is published, that can be changed and be away. */
export class PublishedChannel implements BlobSource, DocumentSource {
  readonly #documents = new Map<string, Uint8Array>()
  #index = new Uint8Array()
  readonly #what: Published
  isAway: boolean = false
  looks: number = 0

  constructor(what: Published) {
    this.#what = what
  }

  /** @param by - who signs the pointer; null leaves it out */
  publish(changes: object = {}, by: Signer | null = this.#what.signer): void {
    const { sample, signer, atMs } = this.#what
    const { appliance, board, architecture, version, counter, manifestDigest } = sample.release
    const pointer = JSON.stringify({
      ...{ appliance, board, architecture, channel: 'stable' },
      release: { digest: manifestDigest, size: sample.manifest.length, version, counter },
      issued: new Date(atMs).toISOString(),
      expires: new Date(atMs + 30 * DAY_MS).toISOString(),
      percentage: 100,
      ...changes,
    })
    const add = (text: string): { digest: string; sizeBytes: number } => {
      const bytes = new TextEncoder().encode(text)
      const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`
      this.#documents.set(digest, bytes)
      return { digest, sizeBytes: bytes.length }
    }
    const release = add(sample.manifest)
    const signature = add(signer.sign('solo-release', sample.manifest))
    const signatures = [{ mediaType: SSH_SIGNATURE_TYPE, ...signature }]
    const manifests = [release, add(manifestText(SIGNATURES_TYPE, signatures, { subject: release }))]
    if (by !== null) {
      const envelope = add(writeEnvelope(pointer, [by.sign('solo-channel', pointer)]))
      manifests.push(add(manifestText(CHANNEL_TYPE, [{ mediaType: POINTER_TYPE, ...envelope }], {})))
    }
    this.#index = new TextEncoder().encode(indexText(manifests))
  }

  index(): Promise<Uint8Array> {
    this.looks += 1
    return this.isAway ? Promise.reject(new SourceError('away')) : Promise.resolve(this.#index)
  }

  document(digest: string): Promise<Uint8Array> {
    return Promise.resolve(this.#documents.get(digest) ?? new Uint8Array())
  }

  open(): AsyncIterable<Uint8Array> {
    throw new SourceError('nobody asks for blobs here')
  }
}
