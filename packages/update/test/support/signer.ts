// Signs as ssh-keygen does, but at once and with tokens that no test machine has; ssh-keygen judges that it is the same.
import { createHash, generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { sshNumber, sshString } from '../../src/ssh/wire.ts'

/** What of a signature can be made otherwise than it should be. */
export interface SignOptions {
  readonly hash?: 'sha256' | 'sha512'
  /** Of a token: 1 touched, 4 verified. Default: 1. */
  readonly flags?: number
  /** Bytes behind the last field. */
  readonly trailing?: Uint8Array
  readonly version?: number
}

/** A key that signs. */
export class Signer {
  /** The line of the public key. */
  readonly line: string
  readonly #private: KeyObject
  readonly #blob: Uint8Array
  readonly #application: string | undefined

  constructor(options: { readonly application?: string; readonly comment?: string } = {}) {
    const { publicKey, privateKey } = generateKeyPairSync('ed25519')
    const raw = Buffer.from(publicKey.export({ format: 'jwk' }).x ?? '', 'base64url')
    const { application, comment = 'test' } = options
    this.#private = privateKey
    this.#application = application
    this.#blob = Buffer.concat([
      sshString(this.#type),
      sshString(raw),
      ...(application === undefined ? [] : [sshString(application)]),
    ])
    this.line = `${this.#type} ${Buffer.from(this.#blob).toString('base64')} ${comment}`
  }

  get #type(): string {
    return this.#application === undefined ? 'ssh-ed25519' : 'sk-ssh-ed25519@openssh.com'
  }

  /** An armored signature. */
  sign(namespace: string, message: string | Uint8Array, options: SignOptions = {}): string {
    const { hash = 'sha512', flags = 1, trailing = new Uint8Array(), version = 1 } = options
    const head = [sshString(namespace), sshString(''), sshString(hash)]
    const signed = Buffer.concat([
      Buffer.from('SSHSIG'),
      ...head,
      sshString(createHash(hash).update(message).digest()),
    ])
    const blob = Buffer.concat([
      Buffer.from('SSHSIG'),
      sshNumber(version),
      sshString(this.#blob),
      ...head,
      sshString(this.#inner(signed, flags)),
      trailing,
    ])
    const lines = blob.toString('base64').match(/.{1,70}/g) ?? []
    return ['-----BEGIN SSH SIGNATURE-----', ...lines, '-----END SSH SIGNATURE-----', ''].join('\n')
  }

  #inner(signed: Uint8Array, flags: number): Uint8Array {
    if (this.#application === undefined) {
      return Buffer.concat([sshString(this.#type), sshString(sign(null, signed, this.#private))])
    }
    const counter = Buffer.concat([Uint8Array.of(flags), sshNumber(7)])
    const digest = (bytes: string | Uint8Array): Uint8Array => createHash('sha256').update(bytes).digest()
    const wrapped = Buffer.concat([digest(this.#application), counter, digest(signed)])
    return Buffer.concat([sshString(this.#type), sshString(sign(null, wrapped, this.#private)), counter])
  }
}
