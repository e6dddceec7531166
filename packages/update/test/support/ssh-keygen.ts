// OpenSSH's own program, by which our code is judged.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** Runs ssh-keygen. */
export function sshKeygen(
  args: readonly string[],
  input: string | Uint8Array = '',
): { ok: boolean; output: string } {
  const { exitCode, stdout, stderr } = Bun.spawnSync(['ssh-keygen', ...args], { stdin: Buffer.from(input) })
  return { ok: exitCode === 0, output: exitCode === 0 ? stdout.toString() : stderr.toString() }
}

/** A key of a file. */
export interface FileKey {
  readonly path: string
  /** The line of the public key. */
  readonly line: string
}

/** Makes a key. */
export function makeKey(folder: string, name: string, type = 'ed25519'): FileKey {
  const path = join(folder, name)
  const { ok, output } = sshKeygen(['-q', '-t', type, '-N', '', '-C', `${name}@example`, '-f', path])
  if (!ok) throw new Error(output)
  return { path, line: readFileSync(`${path}.pub`, 'utf8').trim() }
}

/** `ssh-keygen -Y sign`. */
export function signByKeygen(
  key: FileKey,
  namespace: string,
  message: string | Uint8Array,
  hash = 'sha512',
): string {
  const { ok, output } = sshKeygen(
    ['-Y', 'sign', '-q', '-f', key.path, '-n', namespace, '-O', `hashalg=${hash}`],
    message,
  )
  if (!ok) throw new Error(output)
  return output
}

/** Whether `ssh-keygen -Y verify` takes a signature. */
export function keygenVerifies(
  line: string,
  namespace: string,
  message: string | Uint8Array,
  signature: string,
): boolean {
  const folder = mkdtempSync(join(tmpdir(), 'solo-keygen-'))
  try {
    const [signers, file] = [join(folder, 'signers'), join(folder, 'signature')]
    writeFileSync(signers, `signer ${line}\n`)
    writeFileSync(file, signature)
    return sshKeygen(['-Y', 'verify', '-f', signers, '-I', 'signer', '-n', namespace, '-s', file], message).ok
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
