/** Releases in an OCI registry: each is a tag, its name that of a version or of a channel. */
import { manifestBytesMax } from './release.ts'
import { oci } from './release/media-types.ts'
import type { DocumentSource } from './layout.ts'
import { HttpReader, type HttpOptions, parseBase, shown } from './source/http.ts'
import { RegistryClient, type RegistryCredentials } from './source/registry-client.ts'
import { type BlobSource, SourceError } from './source.ts'

export type { RegistryCredentials } from './source/registry-client.ts'

/** Which repository of which registry. */
export interface RegistryOptions extends HttpOptions {
  /** The registry: `https://registry.example.org`. */
  readonly registry: string
  /** The repository in it: `kiosks/hello`. */
  readonly repository: string
  /** Who asks; without it, anybody. */
  readonly credentials?: RegistryCredentials
}

/** @see https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md#pulling-manifests */
const repositoryName = /^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$/
const tagName = /^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$/
const digestName = /^sha256:[0-9a-f]{64}$/

/**
 * The releases of a repository. What is asked for without a name is what the tag `latest` names.
 *
 * @throws TypeError for what is no registry or repository
 *
 * @example
 * ```ts no-run
 * import { collectDocuments } from '@pkg/update/layout'
 * import { registrySource } from '@pkg/update/registry-source'
 *
 * const source = registrySource({ registry: 'https://registry.example.org', repository: 'kiosks/hello' })
 * const documents = await collectDocuments(source, 'stable')
 * console.log(documents.signatures.length)
 * ```
 */
export function registrySource(options: RegistryOptions): BlobSource & DocumentSource {
  const client = registryClient(options, 'pull')
  const reader = new HttpReader(options, (url, init) => client.send(url, init))
  const headers = { accept: `${oci.index}, ${oci.manifest}` }
  return {
    async index(reference = 'latest', signal) {
      const url = client.url(`manifests/${checked(reference, tagName, 'a tag')}`)
      const bytes = await reader.whole(url, manifestBytesMax, { headers, signal })
      if (bytes === undefined) throw new SourceError(`${shown(url)}: the registry has no such tag`)
      return bytes
    },
    async document(digest, sizeBytes, signal) {
      checked(digest, digestName, 'a digest')
      // A document is a blob or a manifest, which a registry keeps apart. In this order: Debian's answers 500 to
      // the question for a manifest that is a blob.
      const blob = client.url(`blobs/${digest}`)
      const manifest = client.url(`manifests/${digest}`)
      const bytes =
        (await reader.whole(blob, sizeBytes, { signal })) ??
        (await reader.whole(manifest, sizeBytes, { headers, signal }))
      if (bytes === undefined) throw new SourceError(`${shown(blob)}: the registry does not have it`)
      return bytes
    },
    open(digest, offset, length, signal) {
      const url = client.url(`blobs/${checked(digest, digestName, 'a digest')}`)
      return reader.part({ url, offset, length }, signal)
    },
  }
}

/** The client of a repository. @throws TypeError for what is no registry or repository */
export function registryClient(options: RegistryOptions, actions: 'pull' | 'pull,push'): RegistryClient {
  const { base } = parseBase(options.registry)
  const repository = checked(options.repository, repositoryName, 'a repository as kiosks/hello')
  return new RegistryClient({ registry: base, repository, credentials: options.credentials, actions })
}

/** What becomes a part of a URL. */
function checked(text: string, pattern: RegExp, what: string): string {
  if (pattern.test(text)) return text
  throw new TypeError(`expected ${what}, got ${JSON.stringify(text)}`)
}
