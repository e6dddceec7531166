// Counts who signed a text, and whether that is enough.
import { z } from 'zod'
import { type RefusedCheck, UpdateRefused } from '../refused.ts'
import { readJson } from '../release/schema.ts'
import { SshFormatError, type SshPublicKey } from '../ssh-key.ts'
import { SshSignatureError, verifySignature } from '../ssh-signature.ts'
import type { TrustRole } from '../trust.ts'

/** A text and signatures over it. */
export interface SignedText {
  /** What is signed, to the byte. */
  readonly document: string
  /** Armored SSH signatures. */
  readonly signatures: readonly string[]
}

const envelope = z.strictObject({ document: z.string(), signatures: z.array(z.string()).max(32) })

/** Reads the JSON that keeps a text with its signatures. */
export function readEnvelope(text: string, what: string, check: RefusedCheck): SignedText {
  const signed = readJson(text, envelope, what, check)
  if (!signed.document.isWellFormed())
    throw new UpdateRefused(check, `${what}: expected text that UTF-8 can hold`)
  return signed
}

/**
 * The JSON that keeps a text with its signatures.
 *
 * @param document - what was signed, to the byte
 * @param signatures - armored SSH signatures over it
 */
export function writeEnvelope(document: string, signatures: readonly string[]): string {
  return JSON.stringify({ document, signatures })
}

/** Whose signatures are needed for what. */
export interface SignersQuestion extends SignedText {
  /** For messages: `the release`. */
  readonly what: string
  /** What the signatures must be for. */
  readonly namespace: string
  /** Who may sign, and how many must. */
  readonly role: TrustRole
  /** Fingerprints of keys that do not count. */
  readonly revoked: readonly string[]
}

/**
 * The keys that signed, when they are enough. A signature that does not count does no harm: a release in a time of
 * rotation is signed by keys that some devices do not know yet.
 *
 * @throws UpdateRefused `signature`, `threshold` or `revoked`, with what is wrong with each signature
 */
export function requireSigners(question: SignersQuestion): readonly SshPublicKey[] {
  const { document, signatures, what, namespace, role, revoked } = question
  const message = new TextEncoder().encode(document)
  const signers = new Map<string, SshPublicKey>()
  const revokedSigners = new Set<string>()
  const reasons: string[] = []
  for (const [index, signature] of signatures.entries()) {
    try {
      const key = verifySignature({ message, signature, namespace, keys: role.keys })
      if (!revoked.includes(key.fingerprint)) signers.set(key.fingerprint, key)
      else {
        revokedSigners.add(key.fingerprint)
        reasons.push(`signature ${index + 1}: by ${key.fingerprint}, which is revoked`)
      }
    } catch (error) {
      if (!(error instanceof SshFormatError || error instanceof SshSignatureError)) throw error
      reasons.push(`signature ${index + 1}: ${error.message}`)
    }
  }
  if (signers.size >= role.threshold) return [...signers.values()]
  const details = signatures.length === 0 ? 'it has no signature' : reasons.join('; ')
  throw new UpdateRefused(
    failedCheck(signers.size, revokedSigners.size, role.threshold),
    `${what} is signed by ${signers.size} of the keys that are trusted, expected ${role.threshold}${details === '' ? '' : `: ${details}`}`,
  )
}

function failedCheck(signers: number, revokedSigners: number, threshold: number): RefusedCheck {
  if (revokedSigners > 0 && signers + revokedSigners >= threshold) return 'revoked'
  return signers === 0 ? 'signature' : 'threshold'
}
