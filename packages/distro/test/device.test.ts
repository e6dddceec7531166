// The command's side of a device: how it is named, whom one trusts, what its status means, and pushing over a line that
// fails.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { MachineStatus } from '@pkg/init/control'
import { afterAll, describe, expect, test } from 'vitest'
import type { DeviceStatus, UpdateState, Want } from '../src/agent/bodies.ts'
import { parseDevice } from '../src/device/address.ts'
import { DeviceAway, type DeviceClient, DeviceRefused } from '../src/device/client.ts'
import { knownFingerprint, parseFingerprint, rememberDevice } from '../src/device/known-devices.ts'
import { outcomeOf } from '../src/device/outcome.ts'
import { pushRelease } from '../src/device/push.ts'
import { statusLines } from '../src/device/status-lines.ts'

const folder = mkdtempSync(join(tmpdir(), 'solo-device-'))
afterAll(() => rmSync(folder, { recursive: true }))

describe('parseDevice()', () => {
  test('reads names and addresses with and without a port', () => {
    const texts = [
      'kiosk',
      'kiosk.local:9000',
      '10.0.0.1:443',
      '[fe80::1]',
      '[::1]:80',
      'https://kiosk:8443/',
    ]
    expect(texts.map((text) => parseDevice(text).text)).toEqual([
      ...['kiosk:8443', 'kiosk.local:9000', '10.0.0.1:443', '[fe80::1]:8443', '[::1]:80', 'kiosk:8443'],
    ])
    expect(parseDevice('[::1]:80')).toMatchObject({ host: '::1', port: 80 })
  })

  test('takes nothing else', () => {
    for (const text of ['', 'a b', 'kiosk/x', 'user@kiosk', 'kiosk:99999', 'fe80::1', 'kiosk?x', '-x$y']) {
      expect(() => parseDevice(text), text).toThrow(/expected HOST or HOST:PORT/)
    }
  })
})

const fingerprint = Array.from({ length: 32 }, (_, at) =>
  at.toString(16).padStart(2, '0').toUpperCase(),
).join(':')

test('parseFingerprint() reads what the console, a browser and openssl show', () => {
  const forms = [
    fingerprint,
    fingerprint.toLowerCase(),
    fingerprint.replaceAll(':', ''),
    `SHA-256 ${fingerprint}`,
    `sha256 Fingerprint=${fingerprint}`,
  ]
  for (const form of forms) expect(parseFingerprint(form)).toBe(fingerprint)
  for (const other of ['', fingerprint.slice(3), `${fingerprint}:00`, fingerprint.replace('00', 'ZZ')]) {
    expect(() => parseFingerprint(other)).toThrow(/expected a SHA-256 fingerprint/)
  }
})

test('rememberDevice() keeps the others, and a file that is damaged is not taken for an empty one', async () => {
  const file = join(folder, 'deep', 'devices.json')
  expect(await knownFingerprint(file, 'a:1')).toBeUndefined()
  await rememberDevice(file, 'a:1', fingerprint)
  await rememberDevice(file, 'b:2', fingerprint.replace('00', 'AA'))
  expect(await knownFingerprint(file, 'a:1')).toBe(fingerprint)
  writeFileSync(file, '{ "devices": ')
  await expect(knownFingerprint(file, 'a:1')).rejects.toThrow(/not a list of known devices/)
  await expect(rememberDevice(file, 'a:1', fingerprint)).rejects.toThrow(/not a list of known devices/)
})

const machine: MachineStatus = {
  ...{ uptimeMs: 65_000, ready: true, shutdown: null },
  gate: { state: 'waiting', reason: 'stable for 4 of 10 s' },
  boot: {
    ...{ slot: 'solo-b', entry: 'solob+2-1.efi', trial: true, blessed: false, disk: '/dev/sda' },
    release: {
      ...{ appliance: 'kiosk', version: '1.5', counter: 8, board: 'pc', architecture: 'x86_64' },
      created: '2026-11-30T12:00:00Z',
    },
    partitions: { esp: '/dev/sda1', 'root-a': '/dev/sda2', 'root-b': '/dev/sda3', data: '/dev/sda4' },
    ...{ lastRollback: null, counterFloor: 7, clock: 'sntp' },
  },
  services: [
    {
      ...{ name: 'web', status: 'running', required: true, ready: true, healthy: false, pid: 7, uptimeMs: 5 },
      ...{ starts: 3, crashes: 2, exit: null, reason: 'http 8080: status 500', note: 'warming up' },
    },
  ],
}
const slot = { running: false, condition: 'whole', triesLeft: 3, doneBytes: null, totalBytes: null } as const
const status: DeviceStatus = {
  machine,
  slots: [
    { ...slot, slot: 'solo-b', running: true, version: '1.5', counter: 8, triesLeft: 2 },
    {
      ...slot,
      slot: 'solo-a',
      condition: 'partial',
      version: '1.6',
      counter: 9,
      triesLeft: null,
      doneBytes: 1,
      totalBytes: 4,
    },
  ],
  update: null,
  channel: { name: 'stable', lookedAt: '2026-11-30T12:00:00Z', detail: 'the channel is on hold with 1.6' },
}

/** The status with another boot. */
function booted(changes: Partial<MachineStatus['boot']>): DeviceStatus {
  return { ...status, machine: { ...machine, boot: { ...machine.boot, ...changes } } }
}

test('statusLines() shows version, slots, services, and why a release was given up', () => {
  const from = { slot: 'solo-a', version: '1.6', counter: 9 }
  const lastRollback = { from, reason: 'web was not healthy', at: '2026-11-30T12:00:00Z' }
  expect(statusLines(booted({ lastRollback }))).toEqual([
    'running   kiosk 1.5 (release 8), pc, x86_64',
    'slot      solo-b, on trial',
    'gate      waiting: stable for 4 of 10 s',
    'up for    1 min 5 s; clock: sntp',
    'floor     releases from 7 on are taken',
    'slots     solo-b  running       1.5 (release 8)  2 tries left',
    '          solo-a  partial 25 %  1.6 (release 9)',
    'services  web  running  ready, not healthy, started 3 times, crashed 2 times  http 8080: status 500; warming up',
    'rollback  1.6 (solo-a) was given up 2026-11-30T12:00:00Z: web was not healthy',
    'channel   stable, 2026-11-30T12:00:00Z: the channel is on hold with 1.6',
  ])
})

describe('outcomeOf()', () => {
  const awaited = { version: '1.5', counter: 8 }
  const longAgo = 100_000

  test('waits for the shutdown, for the trial, and ends with the blessing', () => {
    expect(outcomeOf(status, awaited, 1000)).toEqual({ kind: 'waiting', detail: 'shutting down' })
    expect(outcomeOf(status, awaited, longAgo)).toEqual({
      kind: 'waiting',
      detail: 'on trial: stable for 4 of 10 s',
    })
    expect(outcomeOf(booted({ blessed: true, trial: false }), awaited, longAgo)).toEqual({
      kind: 'committed',
    })
  })

  test('ends with the reason when another release runs again', () => {
    const from = { slot: 'solo-a', version: null, counter: 9 }
    const old = booted({ lastRollback: { from, reason: 'the kernel panicked', at: '2026-11-30T12:00:00Z' } })
    const next = { version: '1.6', counter: 9 }
    expect(outcomeOf(old, next, longAgo)).toEqual({ kind: 'rolled-back', reason: 'the kernel panicked' })
    expect(outcomeOf(booted({}), next, longAgo)).toMatchObject({
      reason: 'it did not get as far as to say why',
    })
  })
})

const running: UpdateState = {
  ...{
    id: 3,
    origin: 'push',
    state: 'running',
    phase: 'fetch',
    doneBytes: 0,
    totalBytes: 8,
    fetchedBytes: 0,
  },
  ...{ release: null, slot: null, failure: null },
}

/** A device that wants these ranges, over a line that fails where it is told to. */
class Device {
  readonly name = 'kiosk:8443'
  readonly answers = new Map<number, number[]>()
  readonly #wants: Want[]
  readonly #losses: Set<string>
  cancelled = false

  constructor(wants: Want[], losses: string[]) {
    this.#wants = wants
    this.#losses = new Set(losses)
  }

  #lose(what: string): void {
    if (this.#losses.delete(what)) throw new DeviceAway(`${what} was lost`)
  }

  beginUpdate(): Promise<UpdateState> {
    return Promise.resolve(running)
  }

  /** The agent is started again, and knows of nothing. */
  forgetsOnce = false

  async wants(_id: number, after: number): Promise<{ wants: Want[]; update: UpdateState }> {
    await Bun.sleep(1)
    this.#lose('a question')
    if (this.forgetsOnce && this.answers.size > 5) {
      this.forgetsOnce = false
      throw new DeviceRefused(this.name, { code: 'not-found', message: 'there is no update 3' })
    }
    const open = this.#wants.filter(({ id }) => !this.answers.has(id))
    if (open.length === 0) return { wants: [], update: { ...running, state: 'installed', slot: 'solo-b' } }
    return { wants: open.filter(({ id }) => id > after), update: running }
  }

  async answerWant(_id: number, want: number, bytes: Uint8Array): Promise<void> {
    await Bun.sleep(1)
    this.#lose(`answer ${want}`)
    if (this.answers.has(want)) throw new DeviceRefused(this.name, { code: 'conflict', message: 'not open' })
    this.answers.set(want, [...bytes])
    this.#lose(`receipt ${want}`)
  }

  cancelUpdate(): Promise<void> {
    this.cancelled = true
    return Promise.resolve()
  }
}

describe('pushRelease()', () => {
  const wants = Array.from({ length: 20 }, (_, at) => ({
    id: at + 1,
    digest: 'sha256:a',
    offset: at,
    length: 2,
  }))
  const release = {
    documents: { manifest: '{}', signatures: [], trust: [] },
    source: {
      async *open(_digest: string, offset: number, length: number) {
        for (let at = 0; at < length; at++) yield await Promise.resolve(Uint8Array.of(offset + at))
      },
    },
  }
  const push = (device: Device): Promise<UpdateState> =>
    pushRelease(device as unknown as DeviceClient, release, () => {})

  test('answers each want, also when questions, answers and receipts are lost', async () => {
    const device = new Device(wants, ['a question', 'answer 3', 'answer 20', 'receipt 7'])
    expect(await push(device)).toMatchObject({ state: 'installed', slot: 'solo-b' })
    expect([...device.answers.keys()].toSorted((a, b) => a - b)).toEqual(wants.map(({ id }) => id))
    expect(device.answers.get(5)).toEqual([4, 5])
    expect(device.cancelled).toBe(false)
  })

  test('begins anew when the agent was started again', async () => {
    const device = new Device(wants, [])
    device.forgetsOnce = true
    expect(await push(device)).toMatchObject({ state: 'installed' })
    expect([device.forgetsOnce, device.answers.size]).toEqual([false, 20])
  })

  test('stops the update when the release is not whole', async () => {
    const device = new Device(wants, [])
    const short = {
      ...release,
      source: {
        async *open() {
          yield await Promise.resolve(Uint8Array.of(1))
        },
      },
    }
    await expect(pushRelease(device as unknown as DeviceClient, short, () => {})).rejects.toThrow(
      /the release is not whole: sha256:a has 1 of 2 bytes/,
    )
    expect(device.cancelled).toBe(true)
  })
})
