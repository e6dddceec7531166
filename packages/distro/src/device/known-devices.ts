// The devices that this user trusts: addresses with the fingerprints of their certificates.
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'
import { z } from 'zod'
import { SoloError } from '../error.ts'

const schema = z.strictObject({
  version: z.literal(1),
  devices: z.record(z.string(), z.strictObject({ fingerprint: z.string().regex(fingerprintPattern()) })),
})

function fingerprintPattern(): RegExp {
  return /^([0-9A-F]{2}:){31}[0-9A-F]{2}$/
}

/**
 * A fingerprint as people copy it, from the device's console, a browser or `openssl x509 -fingerprint -sha256`.
 *
 * @throws SyntaxError it is none
 */
export function parseFingerprint(text: string): string {
  const digits = text
    .trim()
    .replace(/^sha-?256[ :=]*/i, '')
    .replace(/^fingerprint=/i, '')
    .replaceAll(':', '')
    .toUpperCase()
  const fingerprint = digits.match(/.{2}/g)?.join(':') ?? ''
  if (fingerprintPattern().test(fingerprint) && digits.length === 64) return fingerprint
  throw new SyntaxError(
    `expected a SHA-256 fingerprint, 32 bytes in hexadecimal, as the device shows on its console, got ${JSON.stringify(text)}`,
  )
}

/** The file: `SOLO_DEVICES`, else `solo/devices.json` in the user's folder for configuration. */
export function knownDevicesFile(environment: NodeJS.ProcessEnv = process.env): string {
  const { SOLO_DEVICES, XDG_CONFIG_HOME } = environment
  if (SOLO_DEVICES !== undefined && SOLO_DEVICES !== '') return SOLO_DEVICES
  const folder =
    XDG_CONFIG_HOME === undefined || XDG_CONFIG_HOME === '' ? join(homedir(), '.config') : XDG_CONFIG_HOME
  return join(folder, 'solo', 'devices.json')
}

/**
 * The fingerprint that a device is known by; undefined for one that is not known.
 *
 * @param device - host and port
 * @throws SoloError the file cannot be understood
 */
export async function knownFingerprint(file: string, device: string): Promise<string | undefined> {
  return (await read(file)).devices[device]?.fingerprint
}

/** Remembers a device. */
export async function rememberDevice(file: string, device: string, fingerprint: string): Promise<void> {
  const { devices } = await read(file)
  const text = JSON.stringify(
    { version: 1, devices: { ...devices, [device]: { fingerprint } } },
    undefined,
    2,
  )
  await mkdir(dirname(file), { recursive: true, mode: 0o700 })
  const temporary = `${file}.${process.pid}`
  await writeFile(temporary, `${text}\n`, { mode: 0o600 })
  await rename(temporary, file)
}

async function read(file: string): Promise<z.infer<typeof schema>> {
  let text: string
  try {
    text = await readFile(file, 'utf8')
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT')
      return { version: 1, devices: {} }
    throw error
  }
  try {
    return schema.parse(JSON.parse(text))
  } catch (cause) {
    throw new SoloError(`${file}: not a list of known devices; mend it or remove it: ${String(cause)}`, {
      cause,
    })
  }
}
