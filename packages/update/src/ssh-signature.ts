/**
 * SSH signatures: what `ssh-keygen -Y sign` makes and `ssh-keygen -Y verify` checks.
 *
 * @see https://github.com/openssh/openssh-portable/blob/V_9_9/PROTOCOL.sshsig
 * @see https://github.com/openssh/openssh-portable/blob/V_9_9/PROTOCOL.u2f
 */
import { createHash, createPublicKey, verify } from 'node:crypto'
import { SshFormatError, readBase64, sshNumber, SshReader, sshString } from './ssh/wire.ts'
import { readKeyBlob, type SshPublicKey } from './ssh-key.ts'

const BEGIN = '-----BEGIN SSH SIGNATURE-----'
const END = '-----END SSH SIGNATURE-----'

/** Both the armored text's and the signed data's first bytes. */
const MAGIC = 'SSHSIG'

/** A signature by a token has about 400 characters. */
const armoredCharactersMax = 8192

/** Flags of an authenticator: the user touched it; the user was verified by PIN or finger. */
const USER_PRESENT = 0x01
const USER_VERIFIED = 0x04

/** A signature that has been read, not checked. */
export interface SshSignature {
  /** The key that it claims to be by; which says nothing until it is checked, and nothing of whether it is trusted. */
  readonly key: SshPublicKey
  /** What it is for: a signature for one purpose is none for another. */
  readonly namespace: string
  /** What the message was hashed by. */
  readonly hashAlgorithm: 'sha256' | 'sha512'
  /** The 64 bytes of the Ed25519 signature. */
  readonly ed25519: Uint8Array
  /** What a token adds: its flags, and how often it has signed. */
  readonly token?: { readonly flags: number; readonly counter: number }
}

/** What is checked against what. */
export interface SshSignatureQuestion {
  /** What was signed; text stands for its UTF-8. */
  readonly message: string | Uint8Array
  /** The signature, armored or read. */
  readonly signature: string | SshSignature
  /** What the signature must be for. */
  readonly namespace: string
  /** Who may have signed. */
  readonly keys: readonly SshPublicKey[]
}

/** Why a signature does not count. */
export class SshSignatureError extends Error {
  override name = 'SshSignatureError'
  /** `unknown-key` for a signature by none of the keys; `not-valid` for everything else. */
  readonly reason: 'unknown-key' | 'not-valid'

  constructor(reason: 'unknown-key' | 'not-valid', message: string) {
    super(message)
    this.reason = reason
  }
}

/**
 * Reads an armored signature.
 *
 * @throws SshFormatError for what is none, or one by another kind of key
 */
export function parseSignature(armored: string): SshSignature {
  if (armored.length > armoredCharactersMax) {
    throw new SshFormatError(
      `the signature has ${armored.length} characters, expected ${armoredCharactersMax} at most`,
    )
  }
  const lines = armored.trimEnd().split(/\r?\n/)
  if (lines[0] !== BEGIN || lines.at(-1) !== END || lines.length < 3) {
    throw new SshFormatError(`expected a signature between ${BEGIN} and ${END}`)
  }
  const reader = new SshReader(readBase64(lines.slice(1, -1).join(''), 'the signature'), 'the signature')
  if (Buffer.from(reader.take(MAGIC.length)).toString('latin1') !== MAGIC) {
    throw new SshFormatError(`the signature does not begin with ${MAGIC}`)
  }
  const version = reader.number()
  if (version !== 1) throw new SshFormatError(`the signature has version ${version}, expected 1`)
  const key = readKeyBlob(reader.string())
  const namespace = reader.name()
  if (reader.string().byteLength > 0)
    throw new SshFormatError('the signature has something in its reserved field')
  const hashAlgorithm = reader.name()
  if (hashAlgorithm !== 'sha256' && hashAlgorithm !== 'sha512') {
    throw new SshFormatError(`the signature's hash is ${hashAlgorithm}, expected sha256 or sha512`)
  }
  const signature = reader.string()
  reader.end()
  return { key, namespace, hashAlgorithm, ...readInner(signature, key) }
}

/** The part that the key's kind decides. */
function readInner(bytes: Uint8Array, key: SshPublicKey): Pick<SshSignature, 'ed25519' | 'token'> {
  const reader = new SshReader(bytes, 'the signature')
  const type = reader.name()
  if (type !== key.type) throw new SshFormatError(`a signature of type ${type} by a key of type ${key.type}`)
  const ed25519 = reader.string()
  if (ed25519.byteLength !== 64) {
    throw new SshFormatError(`the signature has ${ed25519.byteLength} bytes, one of Ed25519 has 64`)
  }
  const token =
    key.application === undefined ? {} : { token: { flags: reader.byte(), counter: reader.number() } }
  reader.end()
  return { ed25519, ...token }
}

/**
 * Checks a signature, as `ssh-keygen -Y verify` does; of a token it asks for the touch besides, unless the key's line
 * says otherwise.
 *
 * @returns the one of `keys` that signed
 * @throws SshFormatError for what is no signature
 * @throws SshSignatureError when it is by another key, for something else, or not valid
 *
 * @example
 * ```ts
 * import { parsePublicKey } from '@pkg/update/ssh-key'
 * import { verifySignature } from '@pkg/update/ssh-signature'
 *
 * const keys = [
 *   parsePublicKey('ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl demo'),
 * ]
 * try {
 *   verifySignature({ message: 'hello', signature: 'no signature', namespace: 'file', keys })
 * } catch (error) {
 *   console.log(String(error)) // SshFormatError: expected a signature between …
 * }
 * ```
 */
export function verifySignature(question: SshSignatureQuestion): SshPublicKey {
  const signature =
    typeof question.signature === 'string' ? parseSignature(question.signature) : question.signature
  if (signature.namespace !== question.namespace) {
    throw notValid(
      `the signature is for ${JSON.stringify(signature.namespace)}, expected ${JSON.stringify(question.namespace)}`,
    )
  }
  const key = question.keys.find(({ blob }) => Buffer.compare(blob, signature.key.blob) === 0)
  if (key === undefined) {
    throw new SshSignatureError(
      'unknown-key',
      `the signature is by ${signature.key.fingerprint}, which is not among the keys`,
    )
  }
  const jwk = { kty: 'OKP', crv: 'Ed25519', x: Buffer.from(key.ed25519).toString('base64url') }
  const isValid = verify(
    null,
    signedBytes(question.message, signature),
    createPublicKey({ key: jwk, format: 'jwk' }),
    signature.ed25519,
  )
  if (!isValid)
    throw notValid(
      `the signature by ${key.fingerprint} is not valid: the message was changed, or it is another's`,
    )
  if (signature.token !== undefined) checkFlags(key, signature.token.flags)
  return key
}

function checkFlags(key: SshPublicKey, flags: number): void {
  if (key.needsTouch && (flags & USER_PRESENT) === 0) {
    throw notValid(`the signature by ${key.fingerprint} was made without a touch of its token`)
  }
  if (key.needsVerification && (flags & USER_VERIFIED) === 0) {
    throw notValid(`the signature by ${key.fingerprint} was made without the PIN of its token`)
  }
}

/** What the key signs: for SSH the message's hash with what it is for, which a token wraps once more. */
function signedBytes(message: string | Uint8Array, signature: SshSignature): Uint8Array {
  const { namespace, hashAlgorithm, key, token } = signature
  const digest = createHash(hashAlgorithm).update(message).digest()
  const bytes = Buffer.concat([
    Buffer.from(MAGIC),
    sshString(namespace),
    sshString(''),
    sshString(hashAlgorithm),
    sshString(digest),
  ])
  if (token === undefined) return bytes
  return Buffer.concat([
    sha256(key.application ?? ''),
    Uint8Array.of(token.flags),
    sshNumber(token.counter),
    sha256(bytes),
  ])
}

function sha256(bytes: string | Uint8Array): Uint8Array {
  return createHash('sha256').update(bytes).digest()
}

function notValid(message: string): SshSignatureError {
  return new SshSignatureError('not-valid', message)
}
