/**
 * Public keys as OpenSSH writes them: `ssh-ed25519 AAAA… comment`.
 *
 * Ed25519 keys are read, and those that live in a hardware token (`sk-ssh-ed25519@openssh.com`). Before the type may
 * stand, as in authorized_keys, `no-touch-required` (a token's signature counts without a touch) and `verify-required`
 * (it counts only with the token's PIN); nothing else may.
 *
 * @see https://github.com/openssh/openssh-portable/blob/V_9_9/PROTOCOL.u2f
 * @see https://man7.org/linux/man-pages/man8/sshd.8.html
 */
import { createHash } from 'node:crypto'
import { readBase64, SshFormatError, SshReader } from './ssh/wire.ts'

export { SshFormatError } from './ssh/wire.ts'

/** The kinds of keys that are read. */
export type SshKeyType = 'ssh-ed25519' | 'sk-ssh-ed25519@openssh.com'

/** A public key. */
export interface SshPublicKey {
  /** Its kind. */
  readonly type: SshKeyType
  /** SSH's encoding of it, by which keys are compared. */
  readonly blob: Uint8Array
  /** The 32 bytes of the Ed25519 key. */
  readonly ed25519: Uint8Array
  /** What a token's key is for; `ssh:` when `ssh-keygen` made it. */
  readonly application?: string
  /** `SHA256:` and 43 characters of base64, as `ssh-keygen -l` shows it. */
  readonly fingerprint: string
  /** What follows the key, such as a mail address; may be empty. */
  readonly comment: string
  /** Whether a token's signature needs a touch. */
  readonly needsTouch: boolean
  /** Whether a token's signature needs the user's verification, by PIN or finger. */
  readonly needsVerification: boolean
}

const line =
  /^(?:(?<options>(?:no-touch-required|verify-required)(?:,(?:no-touch-required|verify-required))*) +)?(?<type>\S+) +(?<blob>[A-Za-z0-9+/=]+)(?: +(?<comment>\P{Cc}*))?$/u

/**
 * Reads one line of a `.pub` file.
 *
 * @throws SshFormatError for other kinds of keys, and for what is no key
 *
 * @example
 * ```ts
 * import { parsePublicKey } from '@pkg/update/ssh-key'
 *
 * const key = parsePublicKey('ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl demo')
 * console.log(key.fingerprint, key.comment)
 * ```
 */
export function parsePublicKey(text: string): SshPublicKey {
  const { options = '', type = '', blob = '', comment = '' } = line.exec(text.trim())?.groups ?? {}
  if (type === '') {
    throw new SshFormatError(
      `expected a public key as ssh-keygen writes it (ssh-ed25519 AAAA… comment), got ${shown(text)}`,
    )
  }
  const key = readKeyBlob(readBase64(blob, 'the key'))
  if (key.type !== type)
    throw new SshFormatError(`the key is called ${type}, and says that it is ${key.type}`)
  const words = new Set(options.split(','))
  return {
    ...key,
    comment: comment.trim(),
    needsTouch: !words.has('no-touch-required'),
    needsVerification: words.has('verify-required'),
  }
}

/** A key in SSH's own encoding, as signatures carry it. */
export function readKeyBlob(blob: Uint8Array): SshPublicKey {
  const reader = new SshReader(blob, 'the key')
  const type = reader.name()
  if (type !== 'ssh-ed25519' && type !== 'sk-ssh-ed25519@openssh.com') {
    throw new SshFormatError(`expected a key of type ssh-ed25519 or sk-ssh-ed25519@openssh.com, got ${type}`)
  }
  const ed25519 = reader.string()
  if (ed25519.byteLength !== 32) {
    throw new SshFormatError(`the key has ${ed25519.byteLength} bytes, Ed25519 has 32`)
  }
  const application = type === 'ssh-ed25519' ? {} : { application: reader.name() }
  reader.end()
  return {
    type,
    blob,
    ed25519,
    ...application,
    fingerprint: fingerprint(blob),
    comment: '',
    needsTouch: true,
    needsVerification: false,
  }
}

/**
 * The fingerprint of a key in SSH's encoding.
 *
 * @returns `SHA256:…`, as `ssh-keygen -l` shows it
 */
export function fingerprint(blob: Uint8Array): string {
  return `SHA256:${createHash('sha256').update(blob).digest('base64').replace(/=+$/, '')}`
}

function shown(text: string): string {
  return JSON.stringify(text.length > 60 ? `${text.slice(0, 60)}…` : text)
}
