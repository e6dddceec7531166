// Signs by ssh-keygen, so that keys of files, of an agent and of hardware tokens all serve.
import { existsSync } from 'node:fs'
import { parseSignature } from '@pkg/update/ssh-signature'
import { SshFormatError } from '@pkg/update/ssh-key'
import { SoloError } from '../error.ts'

/** Somebody may have to look for a token and touch it, or to type a passphrase. */
const PATIENCE_MS = 5 * 60_000

/** What is signed, for what, and by which key. */
export interface SignQuestion {
  /** What is signed; text stands for its UTF-8. */
  readonly message: string | Uint8Array
  /** What the signature is for, such as `solo-release`. */
  readonly namespace: string
  /** Path of a private key; or of a public one, whose private part the agent has. */
  readonly key: string
}

/**
 * Signs as `ssh-keygen -Y sign` does. Asks for a passphrase on the terminal when the key has one.
 *
 * @returns the armored signature
 * @throws SoloError when there is no such key, or it cannot sign
 */
export async function signSsh({ message, namespace, key }: SignQuestion): Promise<string> {
  if (!existsSync(key)) {
    throw new SoloError(
      `${key}: there is no such key: make one with solo keys new, or name another with --key`,
      {
        exitStatus: 2,
      },
    )
  }
  const { status, output, errors } = await sshKeygen(
    ['-Y', 'sign', '-q', '-n', namespace, '-f', key],
    message,
  )
  if (status !== 0)
    throw new SoloError(`${key}: ssh-keygen could not sign: ${errors.trim() || `exit status ${status}`}`)
  try {
    parseSignature(output)
  } catch (cause) {
    if (!(cause instanceof SshFormatError)) throw cause
    throw new SoloError(
      `${key}: ${cause.message}: devices take Ed25519 keys only (ssh-keygen -t ed25519, or ed25519-sk)`,
      { cause },
    )
  }
  return output
}

async function sshKeygen(
  args: readonly string[],
  input: string | Uint8Array,
): Promise<{ status: number | null; output: string; errors: string }> {
  let child
  try {
    child = Bun.spawn(['ssh-keygen', ...args], {
      ...{ stdin: Buffer.from(input), stdout: 'pipe', stderr: 'pipe' },
      timeout: PATIENCE_MS,
      // Else it would be the environment that this process began with.
      env: process.env,
    })
  } catch (cause) {
    throw new SoloError('ssh-keygen is not installed: apt-get install openssh-client', { cause })
  }
  // It asks for the touch of a token there, so what it says is shown at once.
  const errors = passOn(child.stderr)
  const output = await new Response(child.stdout).text()
  await child.exited
  return { status: child.exitCode, output, errors: await errors }
}

async function passOn(stream: ReadableStream<Uint8Array>): Promise<string> {
  const decoder = new TextDecoder()
  let text = ''
  for await (const chunk of stream) {
    const part = decoder.decode(chunk, { stream: true })
    text += part
    if (process.stderr.isTTY) process.stderr.write(part)
  }
  return text
}
