// What is signed to log in, by whoever does and by the device that checks it.

/** The namespace of the signature: one for a release or for anything else opens no session. */
export const SESSION_NAMESPACE = 'solo-session'

/**
 * The bytes to sign. The certificate is among them: a signature that somebody in between was given is for his
 * certificate, and worth nothing at the device.
 *
 * @param challenge - as `GET /v1/challenge` gave it
 * @param fingerprint - SHA-256 of the certificate that the client sees, as `AB:CD:…`
 * @throws Error for what is no challenge: a device must not choose lines that somebody signs
 */
export function sessionMessage(challenge: string, fingerprint: string): Uint8Array {
  if (!/^[\w-]{1,256}$/.test(challenge)) throw new Error('expected a challenge of letters, digits, - and _')
  const lines = ['solo session', `challenge ${challenge}`, `certificate ${fingerprint}`, '']
  return new TextEncoder().encode(lines.join('\n'))
}
