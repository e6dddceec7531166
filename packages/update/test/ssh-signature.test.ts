import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parsePublicKey, SshFormatError } from '../src/ssh-key.ts'
import { parseSignature, SshSignatureError, verifySignature } from '../src/ssh-signature.ts'
import { Signer, type SignOptions } from './support/signer.ts'
import { type FileKey, keygenVerifies, makeKey, signByKeygen, sshKeygen } from './support/ssh-keygen.ts'

let folder = ''
let alice: FileKey
let bob: FileKey

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'solo-signature-'))
  alice = makeKey(folder, 'alice')
  bob = makeKey(folder, 'bob')
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** What our code says: the comment of the key that signed, or why not. */
function ours(line: string, namespace: string, message: string | Uint8Array, signature: string): string {
  try {
    return verifySignature({ message, signature, namespace, keys: [parsePublicKey(line)] }).comment
  } catch (error) {
    if (error instanceof SshSignatureError) return error.reason
    if (error instanceof SshFormatError) return 'format'
    throw error
  }
}

describe('parsePublicKey()', () => {
  test('gives the fingerprint that ssh-keygen -l shows', () => {
    const { fingerprint, comment, type } = parsePublicKey(alice.line)
    expect(sshKeygen(['-l', '-f', `${alice.path}.pub`]).output).toContain(
      `${fingerprint} ${comment} (ED25519)`,
    )
    expect(type).toBe('ssh-ed25519')
  })

  test('reads the key of a token as ssh-keygen does', () => {
    const { line } = new Signer({ application: 'ssh:release' })
    const key = parsePublicKey(`no-touch-required ${line}`)
    expect(sshKeygen(['-l', '-f', '/dev/stdin'], line).output).toContain(
      `${key.fingerprint} test (ED25519-SK)`,
    )
    expect(key).toMatchObject({ application: 'ssh:release', needsTouch: false, needsVerification: false })
  })

  test.each(['rsa', 'ecdsa'])('refuses a key of type %s by its name', (type) => {
    const { line } = makeKey(folder, type, type)
    expect(() => parsePublicKey(line)).toThrow(`got ${line.split(' ')[0]}`)
  })

  test('refuses what is no key', () => {
    const [type = '', blob = ''] = alice.line.split(' ')
    const shorter = Buffer.from(blob, 'base64').subarray(0, -1).toString('base64')
    const longer = Buffer.concat([Buffer.from(blob, 'base64'), Buffer.alloc(1)]).toString('base64')
    const bad = [
      ...['', 'ssh-ed25519', `${type} ${blob.slice(0, -1)}`, `${type} ${shorter}`, `${type} ${longer}`],
      ...[
        `sk-ssh-ed25519@openssh.com ${blob}`,
        `command="x" ${alice.line}`,
        `${type} ${blob} a\nb`,
        alice.line.replace(' ', '\t'),
      ],
    ]
    for (const line of bad) expect(() => parsePublicKey(line), line).toThrow(SshFormatError)
  })
})

describe('verifySignature() and ssh-keygen -Y verify', () => {
  test('agree on what ssh-keygen signed, over any message and both hashes', () => {
    const message = fc.oneof(fc.string(), fc.uint8Array({ maxLength: 3000 }))
    fc.assert(
      fc.property(message, fc.constantFrom('sha256', 'sha512'), (text, hash) => {
        const signature = signByKeygen(alice, 'solo-release', text, hash)
        expect(ours(alice.line, 'solo-release', text, signature)).toBe('alice@example')
        expect(keygenVerifies(alice.line, 'solo-release', text, signature)).toBe(true)
      }),
      { numRuns: 20 },
    )
  })

  test.each([
    ['another message', 'alice', 'solo-release', 'hello!', 'not-valid'],
    ['another namespace', 'alice', 'solo-channel', 'hello', 'not-valid'],
    ['another key', 'bob', 'solo-release', 'hello', 'unknown-key'],
    ['nothing else', 'alice', 'solo-release', 'hello', 'alice@example'],
  ])('agree on a signature that is checked against %s', (_, name, namespace, message, expected) => {
    const signature = signByKeygen(alice, 'solo-release', 'hello')
    const { line } = name === 'alice' ? alice : bob
    expect(ours(line, namespace, message, signature)).toBe(expected)
    expect(keygenVerifies(line, namespace, message, signature)).toBe(expected === 'alice@example')
  })

  const forms: [string, SignOptions, boolean][] = [
    ['as it should be', {}, true],
    ['hashed by SHA-256', { hash: 'sha256' }, true],
    ['of another version', { version: 2 }, false],
    ['with bytes behind its end', { trailing: Uint8Array.of(0) }, false],
  ]
  test.each(forms)('agree on a signature %s, by a key and by a token', (_, options, expected) => {
    for (const signer of [new Signer(), new Signer({ application: 'ssh:' })]) {
      const signature = signer.sign('solo-release', 'hello', options)
      expect(keygenVerifies(signer.line, 'solo-release', 'hello', signature)).toBe(expected)
      expect(ours(signer.line, 'solo-release', 'hello', signature)).toBe(expected ? 'test' : 'format')
    }
  })

  test('agree on a token’s signature for another application', () => {
    const signer = new Signer({ application: 'ssh:' })
    const other = parsePublicKey(new Signer({ application: 'ssh:other' }).line)
    const signature = parseSignature(signer.sign('solo-release', 'hello'))
    const forged = { ...signature, key: { ...signature.key, application: 'ssh:other' } }
    const keys = [{ ...other, blob: signature.key.blob, ed25519: signature.key.ed25519 }]
    expect(() =>
      verifySignature({ message: 'hello', signature: forged, namespace: 'solo-release', keys }),
    ).toThrow('not valid')
  })

  test('differ where a token was not touched: only a line that says so takes that', () => {
    const signer = new Signer({ application: 'ssh:' })
    const untouched = signer.sign('solo-release', 'hello', { flags: 0 })
    expect(keygenVerifies(signer.line, 'solo-release', 'hello', untouched)).toBe(true)
    expect(ours(signer.line, 'solo-release', 'hello', untouched)).toBe('not-valid')
    expect(ours(`no-touch-required ${signer.line}`, 'solo-release', 'hello', untouched)).toBe('test')
    const touched = signer.sign('solo-release', 'hello', { flags: 1 })
    expect(ours(`verify-required ${signer.line}`, 'solo-release', 'hello', touched)).toBe('not-valid')
    const verified = signer.sign('solo-release', 'hello', { flags: 5 })
    expect(ours(`verify-required ${signer.line}`, 'solo-release', 'hello', verified)).toBe('test')
  })

  test('refuse a signature with any bit flipped, cut at any byte', () => {
    for (const signer of [new Signer(), new Signer({ application: 'ssh:' })]) {
      const armored = signer.sign('solo-release', 'hello')
      const bytes = Buffer.from(armored.split('\n').slice(1, -2).join(''), 'base64')
      for (let bit = 0; bit < bytes.length * 8; bit++) {
        const changed = Buffer.from(bytes)
        changed.writeUInt8((changed[bit >> 3] ?? 0) ^ (1 << (bit & 7)), bit >> 3)
        expect(ours(signer.line, 'solo-release', 'hello', rearmored(changed)), `bit ${bit}`).not.toBe('test')
      }
      for (let end = 0; end < bytes.length; end++) {
        expect(ours(signer.line, 'solo-release', 'hello', rearmored(bytes.subarray(0, end)))).toBe('format')
      }
      // The line feed at its end is the one character that may be missing.
      for (let end = 0; end < armored.length - 1; end++) {
        expect(ours(signer.line, 'solo-release', 'hello', armored.slice(0, end))).toBe('format')
      }
    }
  })

  test('agree on signatures with a byte changed at random', () => {
    const signature = signByKeygen(alice, 'solo-release', 'hello')
    const body = signature.split('\n').slice(1, -2).join('')
    fc.assert(
      fc.property(
        fc.nat(Buffer.from(body, 'base64').length - 1),
        fc.integer({ min: 1, max: 255 }),
        (at, change) => {
          const bytes = Buffer.from(body, 'base64')
          bytes.writeUInt8((bytes[at] ?? 0) ^ change, at)
          // sshsig.c refuses versions above its own only: of this byte, one of 255 changes makes a version 0 for it.
          const isVersion0 = at === 9 && change === 1
          expect(keygenVerifies(alice.line, 'solo-release', 'hello', rearmored(bytes))).toBe(isVersion0)
          expect(ours(alice.line, 'solo-release', 'hello', rearmored(bytes))).not.toBe('alice@example')
        },
      ),
      { numRuns: 60 },
    )
  })
})

function rearmored(bytes: Buffer): string {
  return `-----BEGIN SSH SIGNATURE-----\n${bytes.toString('base64')}\n-----END SSH SIGNATURE-----\n`
}
