// Signing by ssh-keygen: keys of files and of an agent.
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { afterAll, expect, test } from 'vitest'
import { parsePublicKey } from '@pkg/update/ssh-key'
import { verifySignature } from '@pkg/update/ssh-signature'
import { SoloError } from '../src/error.ts'
import { signSsh } from '../src/ssh/sign.ts'
import { testFolder } from './support/folder.ts'

const folder = testFolder()
afterAll(() => folder[Symbol.dispose]())

function keygen(name: string, ...options: string[]): string {
  const path = join(folder.path, name)
  execFileSync('ssh-keygen', ['-q', '-C', name, '-f', path, ...options])
  return path
}

function verified(path: string, signature: string): string {
  const keys = [parsePublicKey(readFileSync(`${path}.pub`, 'utf8'))]
  return verifySignature({ message: 'hello', namespace: 'solo-release', signature, keys }).comment
}

test('signSsh() signs by the key of a file, named by either of its halves', async () => {
  const path = keygen('file', '-t', 'ed25519', '-N', '')
  for (const key of [path, `${path}.pub`])
    expect(verified(path, await signSsh({ message: 'hello', namespace: 'solo-release', key }))).toBe('file')
})

test('signSsh() signs by a key that only an agent has', async () => {
  const path = keygen('agent', '-t', 'ed25519', '-N', '')
  const socket = join(folder.path, 'socket')
  const agent = spawn('ssh-agent', ['-D', '-a', socket], { stdio: 'ignore' })
  const before = process.env['SSH_AUTH_SOCK']
  process.env['SSH_AUTH_SOCK'] = socket
  try {
    await untilAdded(path)
    rmSync(path)
    const signature = await signSsh({ message: 'hello', namespace: 'solo-release', key: `${path}.pub` })
    expect(verified(path, signature)).toBe('agent')
  } finally {
    if (before === undefined) delete process.env['SSH_AUTH_SOCK']
    else process.env['SSH_AUTH_SOCK'] = before
    agent.kill()
    await once(agent, 'exit')
  }
})

async function untilAdded(path: string): Promise<void> {
  for (let tries = 0; ; tries++) {
    try {
      execFileSync('ssh-add', ['-q', path], { stdio: 'ignore' })
      return
    } catch (error) {
      if (tries === 100) throw error
      await setTimeout(50)
    }
  }
}

test('signSsh() says what is wrong with a key', async () => {
  const reason = async (key: string): Promise<string> => {
    const error: unknown = await signSsh({ message: 'hello', namespace: 'solo-release', key }).catch(
      (cause: unknown) => cause,
    )
    expect(error).toBeInstanceOf(SoloError)
    return (error as SoloError).message
  }
  expect(await reason(join(folder.path, 'nothing'))).toContain('there is no such key')
  expect(await reason(keygen('rsa', '-t', 'rsa', '-N', ''))).toContain('devices take Ed25519 keys only')
  const lonely = keygen('lonely', '-t', 'ed25519', '-N', '')
  rmSync(lonely)
  expect(await reason(`${lonely}.pub`)).toContain('ssh-keygen could not sign')
})
