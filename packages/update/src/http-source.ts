/** Releases on a web server: the files of an OCI layout in one of its folders. The server has to know ranges. */
import { blobPath, type DocumentSource, layoutDocuments } from './layout.ts'
import { HttpReader, type HttpOptions, parseBase, shown } from './source/http.ts'
import { type BlobSource, SourceError } from './source.ts'

export type { HttpOptions } from './source/http.ts'

/**
 * The releases of an OCI layout on a web server.
 *
 * @param url - of the folder that has `oci-layout` in it; a name and a password in it are sent as Basic authorization
 * @throws TypeError for what is no URL of HTTP
 *
 * @example
 * ```ts no-run
 * import { httpSource } from '@pkg/update/http-source'
 * import { collectDocuments } from '@pkg/update/layout'
 *
 * const documents = await collectDocuments(httpSource('https://example.org/kiosk'), 'stable')
 * console.log(documents.signatures.length)
 * ```
 */
export function httpSource(url: string, options: HttpOptions = {}): BlobSource & DocumentSource {
  const { base, authorization } = parseBase(url)
  const headers = { ...options.headers, ...(authorization === undefined ? {} : { authorization }) }
  const reader = new HttpReader({ ...options, headers })
  return {
    ...layoutDocuments(async (path, bytesMax, signal) => {
      const place = new URL(path, base)
      const bytes = await reader.whole(place, bytesMax, { signal })
      if (bytes === undefined) throw new SourceError(`${shown(place)} is not there`)
      return bytes
    }),
    open: (digest, offset, length, signal) =>
      reader.part({ url: new URL(blobPath(digest), base), offset, length }, signal),
  }
}
