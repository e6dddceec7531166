// SSH public keys of the configuration: written out, or as paths of the .pub files that ssh-keygen made.
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { parsePublicKey } from '@pkg/update/ssh-key'

/**
 * One key as a line.
 *
 * @param key - a line, or the path of a .pub file
 * @param folder - what paths are relative to
 * @throws Error with what was expected instead
 */
export function publicKeyLine(key: string, folder: string): string {
  // A private key must not get into an image by a slip: a file is read only when it is called .pub.
  const text = key.endsWith('.pub') ? readFileSync(resolve(folder, key), 'utf8').trim() : key.trim()
  parsePublicKey(text)
  return text
}

/** All keys as lines; they were checked before. */
export function publicKeyLines(keys: readonly string[], folder: string): string[] {
  return keys.map((key) => publicKeyLine(key, folder))
}
