// Keys, releases and their verification, from the command line: over a real disk build.
import { execFile, spawn } from 'node:child_process'
import { cpSync, existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parsePublicKey } from '@pkg/update/ssh-key'
import { buildAppliance } from '../src/build.ts'
import { createRelease } from '../src/release.ts'
import { testFolder } from './support/folder.ts'
import { writeProject } from './support/project.ts'
import { startRegistry } from '../../update/test/support/registry.ts'

const main = fileURLToPath(new URL('../src/solo.ts', import.meta.url))
const root = testFolder()
const at = (name: string): string => join(root.path, name)

/** A build whose image asks for two signatures of releases. */
let build = ''
/** A release of it with both. */
let release = ''

beforeAll(async () => {
  for (const name of ['alice', 'bob', 'carol']) await keygen(name)
  const folder = writeProject(root.path, {
    name: 'kiosk',
    version: '1.5+b1',
    release: 5,
    services: [],
    agent: { keys: [at('alice.pub')] },
    updates: {
      board: 'pc',
      release: { keys: [at('alice.pub'), at('bob.pub')], threshold: 2 },
      channel: { keys: [at('carol.pub')], url: 'https://example.org/kiosk' },
    },
  })
  ;({ folder: build } = await buildAppliance(folder, { format: 'disk' }))
  release = at('release')
  await createRelease(build, { out: release, keys: [at('alice'), at('bob')], level: 1, notes: 'Faster' })
}, 240_000)
afterAll(() => root[Symbol.dispose]())

async function keygen(name: string): Promise<void> {
  await new Promise((resolve, reject) => {
    execFile('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', name, '-f', at(name)], (error) =>
      error === null ? resolve(undefined) : reject(error),
    )
  })
}

interface Ended {
  readonly status: number
  readonly stdout: string
  readonly stderr: string
}

function solo(...args: string[]): Promise<Ended> {
  return new Promise((resolve) => {
    execFile(process.execPath, [main, ...args], { cwd: root.path }, (error, stdout, stderr) => {
      resolve({ status: error === null ? 0 : Number(error.code), stdout, stderr })
    })
  })
}

function fingerprint(name: string): string {
  return parsePublicKey(readFileSync(at(`${name}.pub`), 'utf8')).fingerprint
}

/** Like carol's, but for its first letter. */
function strangersFingerprint(): string {
  return fingerprint('carol').replace(/:./, (start) => (start === ':A' ? ':B' : ':A'))
}

describe('solo verify', () => {
  test('explains each check of a release that is good', async () => {
    const { status, stdout, stderr } = await solo('verify', release, '--trust', build)
    expect(stderr).toBe('')
    expect(status).toBe(0)
    const lines = stdout.trim().split('\n')
    expect(lines.pop()).toBe('kiosk 1.5+b1 (counter 5) is good')
    expect(lines.every((line) => line.startsWith('✓ '))).toBe(true)
    expect(stdout).toContain(`✓ signatures: ${fingerprint('alice')} (alice), ${fingerprint('bob')} (bob)`)
    expect(stdout).toContain('✓ kernel image, content: boots the root, counter 5')
  })

  test('names the checks that fail, and ends with status 1', async () => {
    const { status, stdout, stderr } = await solo(
      ...['verify', release, '--trust', at('carol.pub'), '--counter', '9', '--documents', '--json'],
    )
    expect(status).toBe(1)
    expect(stderr).toBe('solo: a device refuses it: signatures, counter\n')
    const { findings } = JSON.parse(stdout) as { findings: { title: string; ok: boolean; detail: string }[] }
    expect(findings.find(({ title }) => title === 'signatures')?.detail).toContain(
      'which is not among the keys',
    )
    expect(findings.find(({ title }) => title === 'counter')?.detail).toContain('this device takes 9 or more')
  })

  test('finds a blob that was changed on its way', async () => {
    const copy = at('changed')
    cpSync(release, copy, { recursive: true })
    const blobs = join(copy, 'blobs', 'sha256')
    const sbom = readdirSync(blobs).find((name) => readFileSync(join(blobs, name)).includes('"spdxVersion"'))
    writeFileSync(
      join(blobs, sbom ?? ''),
      readFileSync(join(blobs, sbom ?? ''), 'utf8').replace('SPDX-2.3', 'SPDX-2.4'),
    )
    const { status, stderr } = await solo('verify', copy, '--trust', build)
    expect(stderr).toBe('solo: a device refuses it: bill of materials\n')
    expect(status).toBe(1)
  })

  test('says what it needs, with status 2', async () => {
    expect(await solo('verify', release)).toMatchObject({ status: 2 })
    const missing = await solo('verify', at('nothing'), '--trust', build)
    expect(missing.status).toBe(2)
    expect(missing.stderr).toContain('expected a folder with a release, an archive of one, or a URL')
    const other = await solo('verify', release, '--trust', build, '--reference', '2.0')
    expect(other).toMatchObject({ status: 1 })
    expect(other.stderr).toContain('the layout has no release 2.0, but 1.5_b1')
  })
})

describe('solo release', () => {
  test('is signed by one person after the other, and says who is missing', async () => {
    const out = at('slowly')
    const first = await solo('release', build, '--out', out, '--key', at('alice'), '--level', '1')
    expect(first.stdout).toBe(`${out}\n`)
    expect(first.stderr).toContain(
      'devices do not take it yet: the release is signed by 1 of the keys that are trusted, expected 2',
    )
    expect((await solo('verify', out, '--trust', build, '--documents')).status).toBe(1)
    const second = await solo('release', out, '--key', at('bob.pub'))
    expect(second).toMatchObject({ status: 0, stdout: `${out}\n` })
    expect((await solo('verify', out, '--trust', build, '--documents')).status).toBe(0)
  })

  test('refuses another release of a version that is there', async () => {
    const args = [
      'release',
      build,
      '--out',
      release,
      '--key',
      at('alice'),
      '--level',
      '1',
      '--notes',
      'Slower',
    ]
    const { status, stderr } = await solo(...args)
    expect(status).toBe(1)
    expect(stderr).toContain('raise version and release in solo.config.ts, or say --replace')
  })

  test('gives a release to a channel, for a time', async () => {
    const out = at('channel')
    cpSync(release, out, { recursive: true })
    const given = await solo(
      ...[
        'release',
        out,
        '--channel',
        'stable',
        '--channel-key',
        at('carol'),
        '--expires',
        '30d',
        '--percentage',
        '10',
      ],
    )
    expect(given.stderr).toContain('stable has 1.5+b1')
    const verify = ['verify', out, '--trust', build, '--documents', '--channel']
    const { status, stdout } = await solo(...verify, 'stable', '--reference', 'stable')
    expect(stdout).toContain('✓ channel: stable, until 20')
    expect(status).toBe(0)
    expect((await solo(...verify, 'beta', '--reference', 'stable')).stderr).toBe(
      'solo: a device refuses it: channel\n',
    )
    expect((await solo(...verify, 'stable', '--reference', '1.5_b1')).stderr).toBe(
      'solo: a device refuses it: channel\n',
    )
    expect((await solo('release', out, '--channel', 'stable')).stderr).toContain('--channel needs --expires')
  })

  test('says what is wrong with a key, a place or a flag', async () => {
    const noKey = await solo('release', build, '--out', at('x'), '--key', at('nobody'), '--level', '1')
    expect(noKey).toMatchObject({ status: 2 })
    expect(noKey.stderr).toContain('there is no such key')
    expect((await solo('release', build, '--key', at('alice'), '--hold')).stderr).toContain(
      'go with --channel',
    )
    expect(await solo('release', build, '--level', '20')).toMatchObject({ status: 2 })
    expect(existsSync(join(at('x'), 'index.json'))).toBe(false)
  })
})

describe('a registry and a web server', () => {
  test('get what solo release made, and solo verify finds all of it there', async () => {
    using registry = await startRegistry(at('registry'))
    const to = `oci://127.0.0.1:${registry.port}/kiosks/hello`
    const pushed = await solo('release', release, '--key', at('alice'), '--key', at('bob'), '--push', to)
    expect(pushed).toMatchObject({ status: 0 })
    expect(pushed.stderr).toMatch(/1\.5_b1: \d{8,} bytes sent/)
    const again = await solo('release', release, '--key', at('bob'), '--push', to)
    expect(again.stderr).toContain('1.5_b1: 0 bytes sent')
    const found = await solo('verify', `${to}:1.5_b1`, '--trust', build)
    expect(found.stderr).toBe('')
    expect(found.stdout).toContain('kiosk 1.5+b1 (counter 5) is good')
    using server = Bun.serve({ port: 0, hostname: '127.0.0.1', fetch: (request) => served(request, release) })
    const url = `http://127.0.0.1:${server.port}/kiosk/`
    expect(await solo('verify', url, '--trust', build)).toMatchObject({ status: 0, stderr: '' })
    const wrong = await solo('release', release, '--key', at('alice'), '--push', `${to}:tag`)
    expect(wrong).toMatchObject({ status: 2 })
  })
})

/** A web server's folder `/kiosk`. */
function served(request: Request, folder: string): Response {
  const path = new URL(request.url).pathname.replace(/^\/kiosk\//, '')
  return new Response(Bun.file(join(folder, path)))
}

describe('solo keys', () => {
  test('new makes a key by ssh-keygen and prints the public one', async () => {
    const child = spawn(process.execPath, [main, 'keys', 'new', at('fresh'), '--comment', 'me'], {
      stdio: ['pipe', 'pipe', 'ignore'],
      detached: true,
    })
    child.stdin.end('\n\n')
    const line = (await Array.fromAsync(child.stdout as AsyncIterable<Uint8Array>)).map(String).join('')
    expect(line).toBe(readFileSync(at('fresh.pub'), 'utf8'))
    expect(parsePublicKey(line).comment).toBe('me')
    expect((await solo('keys', 'new', at('fresh'))).stderr).toContain('is there already')
  })

  test('list says whom the image of a build believes', async () => {
    const { stdout } = await solo('keys', 'list', build)
    expect(stdout.split('\n').slice(0, 4)).toEqual([
      'kiosk, version 1',
      'release: 2 of 2',
      `  ${fingerprint('alice')} ssh-ed25519 alice`,
      `  ${fingerprint('bob')} ssh-ed25519 bob`,
    ])
  })

  test('rotate and revoke make documents by which devices take a release of new keys', async () => {
    const [next, last, out] = [at('next.json'), at('last.json'), at('rotated')]
    const rotated = await solo(
      ...[
        'keys',
        'rotate',
        build,
        '--out',
        next,
        '--add',
        `release=${at('carol.pub')}`,
        '--threshold',
        'release=1',
      ],
      ...['--key', at('alice')],
    )
    expect(rotated.stderr).toContain('devices do not take it yet: trust document 2 is signed by 1')
    const signed = await solo('keys', 'sign', next, '--present', build, '--key', at('bob'))
    expect(signed).toMatchObject({ status: 0, stderr: 'devices take it\n' })
    const revoked = await solo(
      ...[
        'keys',
        'revoke',
        next,
        fingerprint('carol'),
        '--out',
        last,
        '--key',
        at('alice'),
        '--key',
        at('bob'),
      ],
    )
    expect(revoked.stderr).toBe('devices take it\n')
    const made = await solo(
      'release',
      build,
      '--out',
      out,
      '--level',
      '1',
      '--key',
      at('carol'),
      '--trust',
      next,
    )
    expect(made.status).toBe(0)
    expect((await solo('verify', out, '--trust', build, '--documents')).stdout).toContain(
      '✓ trust: version 2, 1 newer',
    )
    await solo(
      'release',
      build,
      '--out',
      at('revoked'),
      '--level',
      '1',
      '--key',
      at('carol'),
      '--trust',
      next,
      '--trust',
      last,
    )
    const refused = await solo('verify', at('revoked'), '--trust', build, '--documents')
    expect(refused.stdout).toContain('✓ trust: version 3, 2 newer')
    expect(refused.stderr).toBe('solo: a device refuses it: signatures\n')
  })

  test('rotate refuses what would lock devices, and keys that are not there', async () => {
    const rotate = ['keys', 'rotate', build, '--out', at('bad.json'), '--key', at('alice')]
    expect((await solo(...rotate, '--threshold', 'release=3')).stderr).toContain(
      'asks for 3 signatures of 2 keys',
    )
    expect((await solo(...rotate, '--remove', strangersFingerprint())).stderr).toContain(
      'no role has the key',
    )
    expect((await solo(...rotate, '--add', 'boss=x.pub')).stderr).toContain('expected release=…')
    expect(existsSync(at('bad.json'))).toBe(false)
  })
})
