// Signatures of a release that is signed by one person after the other.
import { SshFormatError } from '@pkg/update/ssh-key'
import { parseSignature } from '@pkg/update/ssh-signature'

/** All signatures, one of each key: a newer one takes the place of an older one. */
export function mergeSignatures(present: readonly string[], added: readonly string[]): string[] {
  return [...new Map([...present, ...added].map((signature) => [signerOf(signature), signature])).values()]
}

/** The key's fingerprint; of what cannot be read, which may be of a kind that is yet to come, the text itself. */
function signerOf(signature: string): string {
  try {
    return parseSignature(signature).key.fingerprint
  } catch (error) {
    if (error instanceof SshFormatError) return signature
    throw error
  }
}
