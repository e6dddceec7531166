// By what clients know the device: a key that it makes at its first boot and that never leaves it.
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { open, readFile, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { CertifiedKey } from './certificate.ts'

/** The device's key and certificate. */
export interface Identity extends CertifiedKey {
  /** SHA-256 of the certificate, as browsers and `openssl x509 -fingerprint -sha256` show it: `AB:CD:…`. */
  readonly fingerprint: string
}

/** Key and certificate in one file: one cannot be there without the other. */
const FILE = 'identity.pem'

/**
 * The identity of a folder; it is made when there is none, and made anew when what is there cannot be used; when it
 * cannot be kept it is for this run alone.
 *
 * @param folder - a folder that only the agent can look into
 * @param hostname - what a new certificate is for
 * @param log - hears that one was made, and why
 */
export async function ownIdentity(
  folder: string,
  hostname: string,
  log: (line: string) => void,
): Promise<Identity> {
  const file = join(folder, FILE)
  const text = await readFile(file, 'utf8').catch((error: unknown) => {
    // A disk that fails must not keep out who would look after it.
    if (!isMissing(error)) log(`${file} cannot be read (${String(error)}): a new key is made`)
    return undefined
  })
  if (text !== undefined) {
    try {
      return parseIdentity(text)
    } catch (error) {
      log(`${file} cannot be used (${String(error)}): a new key is made, and clients have to trust it anew`)
    }
  }
  // Loaded for this one time only.
  const { makeCertificate } = await import('./certificate.ts')
  const { certificate, privateKey } = makeCertificate(hostname)
  try {
    await writePrivate(folder, FILE, `${privateKey}${certificate}`)
    log('a key and a certificate were made')
  } catch (error) {
    log(`${file} cannot be written (${String(error)}): this key is for as long as the agent runs`)
  }
  return parseIdentity(`${privateKey}${certificate}`)
}

/** @throws Error it is not a private key with its certificate */
function parseIdentity(text: string): Identity {
  const certificate = new X509Certificate(text.slice(Math.max(0, text.indexOf('-----BEGIN CERTIFICATE'))))
  const privateKey = createPrivateKey(text)
  if (!certificate.checkPrivateKey(privateKey)) throw new Error('the key is not that of the certificate')
  return {
    privateKey: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    certificate: certificate.toString(),
    fingerprint: certificate.fingerprint256,
  }
}

/** Writes a file that only its owner can read, whole or not at all, so that a power cut leaves none that is cut off. */
async function writePrivate(folder: string, name: string, text: string): Promise<void> {
  const temporary = join(folder, `${name}.new`)
  await rm(temporary, { force: true })
  {
    await using file = await open(temporary, 'wx', 0o600)
    await file.writeFile(text)
    await file.sync()
  }
  await rename(temporary, join(folder, name))
  await using opened = await open(folder)
  await opened.sync()
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT'
}
