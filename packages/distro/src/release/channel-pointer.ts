// Giving a release to a channel: a pointer that ends, signed by the channel's keys.
import { readPointer } from '@pkg/update/channel'
import type { Release } from '@pkg/update/release'
import { namespaces, writeEnvelope } from '@pkg/update/trust'
import { signSsh } from '../ssh/sign.ts'

/** What a channel says of a release. */
export interface PointerOptions {
  /** The channel's name, such as `stable`. */
  readonly name: string
  /** Paths of the channel's keys. */
  readonly keys: readonly string[]
  /** When it was issued, in seconds since 1970. */
  readonly issuedSeconds: number
  /** When it ends. */
  readonly expiresSeconds: number
  /** How many of a hundred devices shall take the release. Default: 100. */
  readonly percentage?: number
  /** No device shall take it now. Default: false. */
  readonly hold?: boolean
  /** Take it at once, whatever percentage and window say. Default: false. */
  readonly force?: boolean
  /** When devices may begin, in UTC as `02:30`. Default: at any time. */
  readonly window?: { readonly from: string; readonly to: string }
}

/** The pointer and its signatures, as they travel. */
export async function signPointer(
  release: Release,
  manifest: string,
  options: PointerOptions,
): Promise<string> {
  const { name, keys, issuedSeconds, expiresSeconds, percentage = 100, hold, force, window } = options
  const { appliance, board, architecture, manifestDigest, version, counter } = release
  const document = JSON.stringify({
    ...{ appliance, board, architecture, channel: name },
    release: { digest: manifestDigest, size: Buffer.byteLength(manifest), version, counter },
    issued: iso(issuedSeconds),
    expires: iso(expiresSeconds),
    percentage,
    ...(hold === true ? { hold } : {}),
    ...(force === true ? { force } : {}),
    ...(window === undefined ? {} : { window }),
  })
  readPointer(document)
  const signatures: string[] = []
  for (const key of keys)
    signatures.push(await signSsh({ message: document, namespace: namespaces.channel, key }))
  return writeEnvelope(document, signatures)
}

function iso(seconds: number): string {
  return new Date(seconds * 1000).toISOString()
}
