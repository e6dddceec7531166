// Bad releases, bad clients and bad lines, against the real agent over HTTPS with the real updater behind it: each is
// refused with the check that it did not pass, or taken up again; nothing is written before, and the state is honest.
import { execFile, execFileSync, spawnSync } from 'node:child_process'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer, connect, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { ReleaseDocuments } from '@pkg/update/release'
import type { BlobSource } from '@pkg/update/source'
import { writeTrustDocument } from '@pkg/update/trust'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { asRoot } from '../../init/test/namespace/cgroup.ts'
import { MemorySource } from '../../update/test/support/memory-source.ts'
import type { SampleRelease } from '../../update/test/support/sample-release.ts'
import { Signer } from '../../update/test/support/signer.ts'
import type { UpdaterMachine } from '../../update/test/support/updater-process.ts'
import type { UpdateState } from '../src/agent/bodies.ts'
import { parseDevice } from '../src/device/address.ts'
import { certificateOf } from '../src/device/certificate.ts'
import { DeviceClient, DeviceRefused } from '../src/device/client.ts'
import { pushRelease } from '../src/device/push.ts'
import { AgentClient } from './support/agent-client.ts'
import { releaseOf, UpdatingAgent } from './support/updating-agent.ts'

const run = promisify(execFile)

const [one, two, large] = await Promise.all([releaseOf(1), releaseOf(2), releaseOf(3, 3_000_000)])

let started: UpdatingAgent
let machine: UpdaterMachine
let device: DeviceClient

beforeAll(async () => {
  started = await UpdatingAgent.start(one)
  ;({ machine } = started)
  device = await clientOf(started, started.agent.address)
}, 60_000)

afterAll(async () => await started[Symbol.asyncDispose]())

async function clientOf({ agent }: UpdatingAgent, address: string): Promise<DeviceClient> {
  const found = parseDevice(address)
  return new DeviceClient(found, await certificateOf(found, 20_000), join(agent.folder, 'owner'))
}

const good = (): ReleaseDocuments => machine.documents(two)

/** The documents after a change of the manifest, signed as they must be. */
function signed(change: (manifest: Manifest) => void): ReleaseDocuments {
  const manifest = JSON.parse(two.manifest) as Manifest
  change(manifest)
  const text = JSON.stringify(manifest)
  return { manifest: text, signatures: [machine.signer.sign('solo-release', text)], trust: [] }
}

interface Manifest {
  layers: { digest: string; size: number }[]
  annotations: Record<string, string>
}

/** Pushes, and gives the check that failed with what is said to people. */
async function refusal(
  documents: object,
  source: BlobSource = new MemorySource(two.blobs),
): Promise<[string, string]> {
  try {
    await pushRelease(device, { documents: documents as ReleaseDocuments, source }, () => {})
  } catch (error) {
    if (error instanceof DeviceRefused) return [error.code, error.message]
    throw error
  }
  throw new Error('it was taken')
}

/** Nothing has come to the free slot, and the API says so. */
async function expectUntouched(): Promise<void> {
  expect(readFileSync(machine.rootB).every((byte) => byte === 0)).toBe(true)
  expect(readdirSync(machine.bootFolder)).toEqual(['soloa+3-0.efi'])
  const { slots, update } = await device.status()
  expect(slots).toMatchObject([
    { running: true, version: '1.0' },
    { condition: 'empty', version: null },
  ])
  expect(update?.state).not.toBe('running')
}

describe('what is refused before anything is written', () => {
  test('documents that are cut off, changed, or signed by a stranger', async () => {
    const { manifest, signatures } = good()
    for (const part of [0, 0.3, 0.7, 0.99]) {
      const cut = manifest.slice(0, Math.floor(part * manifest.length))
      expect((await refusal({ ...good(), manifest: cut }))[0]).toMatch(/^(format|signature)$/)
    }
    for (const part of [0.1, 0.4, 0.8]) {
      const at = Math.floor(part * manifest.length)
      const flipped = String.fromCodePoint((manifest.codePointAt(at) ?? 0) ^ 1)
      const changed = manifest.slice(0, at) + flipped + manifest.slice(at + 1)
      expect((await refusal({ ...good(), manifest: changed }))[0]).toBe('signature')
    }
    expect(await refusal({ ...good(), signatures: [signatures[0]?.replace(/A/, 'B')] })).toEqual([
      expect.stringMatching(/^(format|signature)$/) as string,
      expect.stringContaining('signature') as string,
    ])
    expect(await refusal(machine.documents(two, new Signer()))).toEqual([
      'signature',
      expect.stringMatching(/signed by .*SHA256:|no key|not.* key/) as string,
    ])
    expect((await refusal({ ...good(), signatures: [] }))[0]).toMatch(/^(signature|threshold|format)$/)
    expect((await refusal({ manifest: 7 }))[0]).toBe('format')
    await expectUntouched()
  })

  test.each([
    ['for another board', 'board', (m: Manifest) => (m.annotations['vnd.solo.board'] = 'rpi4')],
    ['for another appliance', 'appliance', (m: Manifest) => (m.annotations['vnd.solo.appliance'] = 'other')],
    [
      'for another processor',
      'architecture',
      (m: Manifest) => (m.annotations['vnd.solo.architecture'] = 'aarch64'),
    ],
    ['older than what runs', 'format', (m: Manifest) => (m.annotations['vnd.solo.counter'] = '0')],
    ['with a blob whose size lies', 'size', (m: Manifest) => (m.layers[0]!.size += 4096)],
    ['with a blob without an end', 'format', (m: Manifest) => (m.layers[0]!.size = 2 ** 52)],
    [
      'with a digest that is a path',
      'format',
      (m: Manifest) => (m.layers[0]!.digest = 'sha256:../../../etc/passwd'),
    ],
    [
      'with a version that is a path',
      'format',
      (m: Manifest) => (m.annotations['org.opencontainers.image.version'] = '../../x'),
    ],
  ])('a release that is signed and %s: %s', async (_what, check, change) => {
    const [code, message] = await refusal(signed((manifest) => void change(manifest)))
    expect(code, message).toBe(check)
    // Addressed to people: it says what, and no stack or path of the device's.
    expect(message).not.toMatch(/\n|\/src\/|index\.js/)
    await expectUntouched()
  })

  test('an older one, the one that runs, and any while the running slot is on trial', async () => {
    machine.boot({ counterFloor: 3 })
    expect(await refusal(good())).toEqual(['counter', expect.stringContaining('3') as string])
    machine.boot()
    expect((await refusal(machine.documents(one)))[0]).toBe('same-release')
    machine.boot({ trial: true, blessed: false })
    expect((await refusal(good()))[0]).toBe('unblessed')
    machine.boot()
    await expectUntouched()
  })

  test('documents that are too long, and answers that nobody wants', async () => {
    const curl = new AgentClient(started.agent)
    await curl.login()
    const file = machine.path('long')
    await Bun.write(file, JSON.stringify({ ...good(), manifest: 'x'.repeat(300_000) }))
    expect(JSON.parse((await curl.curl('/v1/updates', '--json', `@${file}`)).body)).toMatchObject({
      code: 'format',
    })
    const put = ['--request', 'PUT', '--data-binary', 'x']
    expect((await curl.curl('/v1/updates/999/wants/7', ...put)).status).toBe(404)
    await expectUntouched()
  })
})

describe('one that is under way', () => {
  test('refuses other bytes, and bytes that are too many or too few; the next one goes on', async () => {
    const lying: BlobSource = {
      async *open(_digest, _offset, length) {
        yield new Uint8Array(length)
      },
    }
    expect(await refusal(good(), lying)).toEqual(['digest', expect.any(String) as string])
    const curl = new AgentClient(started.agent)
    await curl.login()
    const { id } = await device.beginUpdate(good())
    const { wants } = await device.wants(id, 0)
    const [want] = wants
    for (const length of [0, (want?.length ?? 0) - 1, (want?.length ?? 0) + 1]) {
      const bytes = new Uint8Array(length)
      await expect(device.answerWant(id, want?.id ?? 0, bytes)).rejects.toThrow(/has \d+ bytes, not \d+/)
    }
    const endless = await run('sh', [
      '-c',
      'curl "$@" --silent --request PUT --upload-file - --header expect: --write-out "%{http_code}" </dev/zero || echo ended $?',
      'sh',
      ...(await curl.options()),
      `https://${started.agent.address}/v1/updates/${id}/wants/${want?.id}`,
    ])
    expect(endless.stdout).toMatch(/(400|413)|ended 5[56]/)
    expect((await device.update(id)).state).toBe('running')
    await device.cancelUpdate(id)
    await expect.poll(async () => (await device.update(id)).state).toBe('failed')
    expect((await device.status()).slots?.[1]).toMatchObject({
      condition: expect.stringMatching(/empty|partial/) as string,
    })
  })

  test('is the only one: another is told to wait', async () => {
    const { id } = await device.beginUpdate(good())
    await expect(device.beginUpdate(good())).rejects.toMatchObject({ code: 'busy' })
    await expect(device.beginUpdateFromStick()).rejects.toMatchObject({ code: 'busy' })
    expect((await device.update(id)).state).toBe('running')
    await device.cancelUpdate(id)
    await expect.poll(async () => (await device.update(id)).state).toBe('failed')
    expect((await device.update(id)).failure?.message).toContain('the client stopped it')
  })
})

/** A line of which every third connection breaks, after so many bytes to the device. */
async function breakingLine(
  to: string,
  bytes: number,
): Promise<{ address: string; breaks: () => number; close: () => void }> {
  let [connections, breaks] = [0, 0]
  const [host = '', port = ''] = to.split(':')
  const server = createServer((near) => {
    const far = connect(Number(port), host)
    const end = (): void => {
      near.destroy()
      far.destroy()
    }
    let left = connections++ % 3 === 2 ? bytes : Infinity
    near.on('data', (chunk: Uint8Array) => {
      left -= chunk.length
      if (left > 0 || near.destroyed) return
      breaks += 1
      end()
    })
    for (const socket of [near, far]) socket.on('error', () => {}).on('close', end)
    near.pipe(far).pipe(near)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port: own } = server.address() as AddressInfo
  return { address: `127.0.0.1:${own}`, breaks: () => breaks, close: () => void server.close() }
}

function expectInstalled(
  state: UpdateState,
  { rootB, bootFolder }: UpdaterMachine,
  { root, release: { version, counter } }: SampleRelease = two,
): void {
  expect(state).toMatchObject({ state: 'installed', slot: 'solo-b', release: { version, counter } })
  expect(Buffer.compare(readFileSync(rootB).subarray(0, root.length), root)).toBe(0)
  expect(readdirSync(bootFolder).toSorted()).toEqual(['soloa+3-0.efi', 'solob+3-0.efi'])
}

test('a line that breaks all the time only makes it longer', async () => {
  const line = await breakingLine(started.agent.address, 10_000)
  try {
    const far = await clientOf(started, line.address)
    const release = { documents: machine.documents(large), source: new MemorySource(large.blobs) }
    expectInstalled(await pushRelease(far, release, () => {}), machine, large)
    expect(line.breaks()).toBeGreaterThan(2)
  } finally {
    line.close()
  }
})

test('an agent that is killed in the middle is pushed to again, and the installation goes on', async () => {
  const probe = createServer()
  await new Promise<void>((resolve) => probe.listen(0, resolve))
  const { port } = probe.address() as AddressInfo
  await new Promise((resolve) => probe.close(resolve))
  await using own = await UpdatingAgent.start(one, { settings: { port } })
  const client = await clientOf(own, own.agent.address)
  let isKilled = false
  const source = new MemorySource(two.blobs)
  const killing: BlobSource = {
    async *open(digest, offset, length) {
      if (!isKilled && source.asked.length > 4) {
        isKilled = true
        const [file, ...args] = [...asRoot, 'pkill', '-KILL', '-f', `${own.agent.folder}/index.js`]
        spawnSync(file, args)
      }
      yield* source.open(digest, offset, length)
    },
  }
  const documents = own.machine.documents(two)
  expectInstalled(await pushRelease(client, { documents, source: killing }, () => {}), own.machine)
  expect(isKilled).toBe(true)
  await own.agent.waitFor(/init: agent: killed by SIGKILL after .* starting again/)
})

test('a full boot partition, and trust that has ended, are told as what they are', async () => {
  let folder = ''
  const asRootDo = (...command: string[]): void => {
    const [file = '', ...args] = [...asRoot, ...command]
    execFileSync(file, args)
  }
  const prepare = ({ bootFolder }: UpdaterMachine): void => {
    asRootDo('mount', '-t', 'tmpfs', '-o', 'size=800k,mode=777', 'tmpfs', bootFolder)
    folder = bootFolder
    writeFileSync(join(bootFolder, 'soloa+3-0.efi'), one.uki)
  }
  const full = await UpdatingAgent.start(one, { prepare })
  try {
    const client = await clientOf(full, full.agent.address)
    const release = { documents: full.machine.documents(two), source: new MemorySource(two.blobs) }
    await expect(pushRelease(client, release, () => {})).rejects.toMatchObject({
      code: 'space',
      message: expect.stringMatching(
        /the kernel image has 540096 bytes, the boot partition has room for \d+/,
      ) as string,
    })
    const text = writeTrustDocument({
      ...{ version: 1, appliance: 'sample', expires: '2020-01-01T00:00:00Z' },
      roles: { release: { threshold: 1, keys: [full.machine.signer.line] } },
    })
    writeFileSync(full.machine.path('trust.json'), text)
    await expect(pushRelease(client, release, () => {})).rejects.toMatchObject({ code: 'expired' })
  } finally {
    asRootDo('umount', '-l', folder)
    await full[Symbol.asyncDispose]()
  }
})
