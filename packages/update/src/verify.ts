/**
 * Whether a device takes a release: the one place where that is decided, without files, clocks or network.
 *
 * What it sees are documents of at most 256 KiB. That the blobs are those that the manifest names is checked by whoever
 * reads them.
 */
import { type ChannelDevice, type ChannelPointer, verifyChannel } from './channel.ts'
import { UpdateRefused } from './refused.ts'
import { type Release, readDocuments, readRelease, type ReleaseDocuments } from './release.ts'
import type { SshPublicKey } from './ssh-key.ts'
import { advanceTrust, checkTrustExpiry, namespaces, type Trust } from './trust.ts'
import { requireSigners } from './trust/signers.ts'

/** What a device is and has, which decides what it takes. */
export interface Device extends ChannelDevice {
  /** The release that runs. */
  readonly running: { readonly version: string; readonly counter: number }
  /** The largest counter that was ever blessed here. */
  readonly counterFloor: number
}

/** One check, for people. */
export interface Finding {
  /** What was looked at. */
  readonly title: string
  /** Whether it is as it must be; undefined when an earlier failure left nothing to look at. */
  readonly ok: boolean | undefined
  /** What was found. */
  readonly detail: string
}

/** What is examined, and what the checks find out for each other. */
interface Examination {
  readonly documents: ReleaseDocuments
  readonly device: Device
  /** The trust that holds, newer after the chain was checked. */
  trust: Trust
}

/** Checks say what they found, or throw UpdateRefused. Nothing is read before its signature is checked. */
type Check = readonly [title: string, run: (examination: Examination) => string]

/** What is checked before the manifest is read. */
const documentChecks: readonly Check[] = [
  ['documents', checkDocuments],
  ['trust', checkTrust],
  ['signatures', checkSignatures],
]

/** What is checked of the release. */
const releaseChecks: readonly (readonly [
  title: string,
  run: (release: Release, examination: Examination) => string,
])[] = [
  ['appliance', ({ appliance }, { device }) => same('appliance', appliance, device.appliance)],
  ['board', ({ board }, { device }) => same('board', board, device.board)],
  ['architecture', ({ architecture }, { device }) => same('architecture', architecture, device.architecture)],
  ['counter', checkCounter],
  ['channel', checkChannel],
]

/**
 * Decides whether a device takes a release.
 *
 * @throws UpdateRefused, whose `check` says why not
 *
 * @example
 * ```ts
 * import { readTrust } from '@pkg/update/trust'
 * import { verifyRelease } from '@pkg/update/verify'
 *
 * const key = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl demo'
 * const roles = { release: { threshold: 1, keys: [key] } }
 * const trust = readTrust(JSON.stringify({ version: 1, appliance: 'hello', roles }))
 * const running = { version: '1.0', counter: 1 }
 * const device = { trust, appliance: 'hello', board: 'pc', architecture: 'x86_64', running, counterFloor: 1, nowSeconds: 0 } as const
 * try {
 *   verifyRelease({ manifest: '{}', signatures: [], trust: [] }, device)
 * } catch (error) {
 *   console.log(String(error)) // UpdateRefused: the release is signed by 0 of the keys that are trusted, expected 1: …
 * }
 * ```
 */
export function verifyRelease(documents: ReleaseDocuments, device: Device): Release {
  const examination: Examination = { documents, device, trust: device.trust }
  for (const [, run] of documentChecks) run(examination)
  const release = readRelease(documents.manifest)
  for (const [, run] of releaseChecks) run(release, examination)
  return release
}

/**
 * The same, with what each check found; goes on after a failure as far as there is something to look at.
 *
 * @returns the findings, and the release when its manifest could be read, believed or not
 */
export function explainRelease(
  documents: ReleaseDocuments,
  device: Device,
): { findings: Finding[]; release?: Release } {
  const examination: Examination = { documents, device, trust: device.trust }
  const findings = documentChecks.map(([title, run]) => attempt(title, () => run(examination)))
  let release: Release | undefined
  findings.push(
    attempt('manifest', () => {
      release = readRelease(documents.manifest)
      return release.manifestDigest
    }),
  )
  for (const [title, run] of releaseChecks) {
    const read = release
    if (read !== undefined) findings.push(attempt(title, () => run(read, examination)))
    else findings.push({ title, ok: undefined, detail: 'not checked: the manifest cannot be read' })
  }
  return { findings, ...(release === undefined ? {} : { release }) }
}

function attempt(title: string, run: () => string): Finding {
  try {
    return { title, ok: true, detail: run() }
  } catch (error) {
    if (!(error instanceof UpdateRefused)) throw error
    return { title, ok: false, detail: error.message }
  }
}

function checkDocuments({ documents }: Examination): string {
  readDocuments(documents)
  return `${documents.signatures.length} signatures, ${documents.trust.length} trust documents`
}

function checkTrust(examination: Examination): string {
  const { device, documents } = examination
  const { trust, accepted } = advanceTrust(device.trust, documents.trust)
  examination.trust = trust
  if (trust.appliance !== device.appliance) {
    throw new UpdateRefused(
      'trust',
      `the trust document is for ${trust.appliance}, this device is ${device.appliance}`,
    )
  }
  checkTrustExpiry(trust, device.nowSeconds)
  return `version ${trust.version}${accepted.length === 0 ? '' : `, ${accepted.length} newer than the device's`}`
}

function checkSignatures({ documents, trust }: Examination): string {
  const signers = checkSigners(documents, trust)
  return signers
    .map(({ fingerprint, comment }) => `${fingerprint}${comment === '' ? '' : ` (${comment})`}`)
    .join(', ')
}

/**
 * Whether a release is signed as a trust document asks; one of the checks of {@link verifyRelease}.
 *
 * @returns who signed it
 * @throws UpdateRefused `signature`, `threshold` or `revoked`
 */
export function checkSigners(
  { manifest, signatures }: ReleaseDocuments,
  { roles, revoked }: Trust,
): readonly SshPublicKey[] {
  const what = 'the release'
  return requireSigners({
    document: manifest,
    signatures,
    what,
    namespace: namespaces.release,
    role: roles.release,
    revoked,
  })
}

function same(check: 'appliance' | 'board' | 'architecture', found: string, expected: string): string {
  if (found === expected) return found
  throw new UpdateRefused(check, `the release is for ${check} ${found}, this device is ${expected}`)
}

/** An equal counter is taken when it is not what runs: a release that was tried before, or is there half. */
function checkCounter({ counter, minimumCounter, version }: Release, { device }: Examination): string {
  const { running, counterFloor } = device
  if (counter === running.counter) {
    throw new UpdateRefused(
      'same-release',
      `the release ${version} has counter ${counter}, as ${running.version}, which runs`,
    )
  }
  const floor = Math.max(running.counter, counterFloor)
  if (counter < floor) {
    throw new UpdateRefused(
      'counter',
      `the release ${version} has counter ${counter}, this device takes ${floor} or more`,
    )
  }
  if (running.counter < minimumCounter) {
    throw new UpdateRefused(
      'minimum-counter',
      `the release ${version} follows releases with counter ${minimumCounter} or more, ${running.version} has ${running.counter}: update to one between first`,
    )
  }
  return `${counter}, after ${floor}`
}

function checkChannel(release: Release, { device, trust, documents }: Examination): string {
  if (documents.channel === undefined) {
    if (device.channel === undefined) return 'none'
    throw new UpdateRefused(
      'channel',
      `the release comes without the pointer of the channel ${device.channel}`,
    )
  }
  const pointer = verifyChannel(documents.channel, { ...device, trust })
  checkPointed(pointer, release, Buffer.byteLength(documents.manifest))
  return `${pointer.channel}, until ${new Date(pointer.expiresSeconds * 1000).toISOString()}`
}

function checkPointed({ release: pointed }: ChannelPointer, release: Release, manifestBytes: number): void {
  const isSame =
    pointed.digest === release.manifestDigest &&
    pointed.size === manifestBytes &&
    pointed.version === release.version &&
    pointed.counter === release.counter
  if (isSame) return
  throw new UpdateRefused(
    'channel',
    `the channel has release ${pointed.version} (${pointed.counter}, ${pointed.digest}), this is ${release.version} (${release.counter}, ${release.manifestDigest})`,
  )
}
