// Where people keep a trust document: in a build, in a file, with its signatures around it; or they have one key only.
import { readFile } from 'node:fs/promises'
import { parsePublicKey, SshFormatError } from '@pkg/update/ssh-key'
import { UpdateRefused } from '@pkg/update/refused'
import { readTrust, type TrustDocument } from '@pkg/update/trust'
import { kindOf } from '@pkg/vm/host'
import { SoloError } from '../error.ts'
import { openBuiltDisk, TRUST_FILE } from '../release/built-disk.ts'

/**
 * The text of a trust document.
 *
 * @param place - the folder of a build, a file with the document, or one that `solo keys` made, with signatures
 * @throws SoloError when there is none
 */
export async function readTrustText(place: string): Promise<string> {
  const text = (await kindOf(place)) === 'folder' ? await ofBuild(place) : documentOf(await readText(place))
  try {
    readTrust(text)
  } catch (cause) {
    if (cause instanceof UpdateRefused)
      throw new SoloError(`${place}: ${cause.message}`, { exitStatus: 2, cause })
    throw cause
  }
  return text
}

/** A trust document to make another one of. */
export async function readTrustDocument(place: string): Promise<TrustDocument> {
  return JSON.parse(await readTrustText(place)) as TrustDocument
}

/**
 * The text of a trust document, or what one key alone would be as one.
 *
 * @param place - as of {@link readTrustText}, or a .pub file
 * @param appliance - for a .pub file, which tells of none
 */
export async function trustTextOrKey(place: string, appliance: string): Promise<string> {
  if (!place.endsWith('.pub')) return await readTrustText(place)
  const role = { threshold: 1, keys: [await readPublicKey(place)] }
  return JSON.stringify({ version: 1, appliance, roles: { release: role, channel: role, trust: role } })
}

/** The line of a .pub file. */
export async function readPublicKey(path: string): Promise<string> {
  const line = (await readText(path)).trim()
  try {
    parsePublicKey(line)
  } catch (cause) {
    if (cause instanceof SshFormatError)
      throw new SoloError(`${path}: ${cause.message}`, { exitStatus: 2, cause })
    throw cause
  }
  return line
}

async function ofBuild(folder: string): Promise<string> {
  await using disk = await openBuiltDisk(folder)
  if (disk.trust !== undefined) return disk.trust
  throw new SoloError(
    `${folder}: its image has no ${TRUST_FILE}: the appliance takes no updates (updates in solo.config.ts)`,
    { exitStatus: 2 },
  )
}

/** Without the envelope that may be around it; whether it is a trust document is for the reader to say. */
function documentOf(text: string): string {
  try {
    const value = JSON.parse(text) as { document?: unknown } | null
    return typeof value?.document === 'string' ? value.document : text
  } catch {
    return text
  }
}

/** A file of the user's. */
export async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (cause) {
    throw new SoloError(
      `${path}: cannot be read: ${cause instanceof Error ? cause.message : String(cause)}`,
      { exitStatus: 2, cause },
    )
  }
}
