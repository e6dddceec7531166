// Certificates of authorities that programs trust, where they look for them: one file, as update-ca-certificates(8)
// would write it. Bun has its own, and is told of those of the configuration.
import { X509Certificate } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import type { FileTree } from '@pkg/image/tree'
import { type Archive, providePackage } from '@pkg/vm/archive'
import type { CertificatesConfig } from '../config.ts'
import { ConfigError } from '../error.ts'

/** Where Debian's programs look for certificates: GnuTLS, curl, Go. */
export const CERTIFICATES_FILE = '/etc/ssl/certs/ca-certificates.crt'

/** Where OpenSSL of Debian looks for the same (its OPENSSLDIR). */
const OPENSSL_FILE = '/usr/lib/ssl/cert.pem'

/** What adding certificates needs. */
export interface CertificatesContext {
  readonly archive: Archive
  readonly cache: string
  /** The project's folder. */
  readonly folder: string
  /** The configuration's file, for messages. */
  readonly configFile: string
}

/**
 * Adds the certificates that the configuration wants.
 *
 * @throws ConfigError for a file without certificates; ProvisionError when Debian's cannot be had
 */
export async function addCertificates(
  tree: FileTree,
  { debian = true, files = [] }: CertificatesConfig,
  context: CertificatesContext,
): Promise<void> {
  const own = await Promise.all(files.map((file, index) => certificatesIn(file, index, context)))
  const texts = [...(debian ? await debianCertificates(context) : []), ...own.flat()]
  const content = new TextEncoder().encode(texts.map((text) => `${text.trim()}\n`).join(''))
  if (!tree.has(CERTIFICATES_FILE)) tree.add({ path: CERTIFICATES_FILE, type: 'file', content })
  if (!tree.has(OPENSSL_FILE)) tree.add({ path: OPENSSL_FILE, type: 'symlink', target: CERTIFICATES_FILE })
}

/** Mozilla's, in the order of their names. */
async function debianCertificates({ archive, cache }: CertificatesContext): Promise<string[]> {
  const folder = await providePackage(archive, cache, {
    role: 'certificates',
    name: 'ca-certificates',
    layoutVersion: 1,
    place: (path) => /^usr\/share\/ca-certificates\/mozilla\/([^/]+\.crt)$/.exec(path)?.[1],
  })
  const names = (await readdir(folder)).toSorted((a, b) => (a < b ? -1 : 1))
  return await Promise.all(names.map((name) => readFile(join(folder, name), 'utf8')))
}

const pem = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g

/** The certificates of a file, without what people have written between them. */
async function certificatesIn(file: string, index: number, context: CertificatesContext): Promise<string[]> {
  const text = await readFile(resolve(context.folder, file), 'utf8')
  const found = text.match(pem) ?? []
  if (found.length > 0 && found.every(isCertificate)) return found
  const message = `expected certificates in PEM (-----BEGIN CERTIFICATE-----), got ${file}, which has none`
  throw new ConfigError(context.configFile, [{ path: `certificates.files[${index}]`, message }])
}

function isCertificate(text: string): boolean {
  try {
    return new X509Certificate(text).subject !== undefined
  } catch {
    return false
  }
}
