// A new key, by ssh-keygen, which asks for a passphrase or for the touch of a token.
import { existsSync } from 'node:fs'
import { readPublicKey } from './trust-place.ts'
import { SoloError } from '../error.ts'

/**
 * Makes a key.
 *
 * @param path - of the private key; a file that is there is not replaced
 * @returns the line of the public key
 */
export async function makeKey(
  path: string,
  options: { readonly token: boolean; readonly comment?: string },
): Promise<string> {
  if (existsSync(path)) throw new SoloError(`${path}: is there already`, { exitStatus: 2 })
  const { token, comment } = options
  const args = [
    '-t',
    token ? 'ed25519-sk' : 'ed25519',
    '-f',
    path,
    ...(comment === undefined ? [] : ['-C', comment]),
  ]
  let child
  try {
    // What it says is not the result, which is one line on standard output.
    child = Bun.spawn(['ssh-keygen', ...args], { stdin: 'inherit', stdout: 2, stderr: 'inherit' })
  } catch (cause) {
    throw new SoloError('ssh-keygen is not installed: apt-get install openssh-client', { cause })
  }
  if ((await child.exited) !== 0) throw new SoloError(`${path}: ssh-keygen made no key`)
  return await readPublicKey(`${path}.pub`)
}
