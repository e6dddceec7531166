import fc from 'fast-check'
import { beforeAll, describe, expect, test } from 'vitest'
import { verifyChannel } from '../src/channel.ts'
import { UpdateRefused } from '../src/refused.ts'
import { readTrust, writeEnvelope } from '../src/trust.ts'
import { type Device, verifyRelease } from '../src/verify.ts'
import { deviceWith, nowSeconds, signed, signers, stranger, trustText } from './support/candidate.ts'
import { efiStub, smallContent } from './support/small-release.ts'
import type { Signer } from './support/signer.ts'
import { type WrittenRelease, writtenRelease } from './support/written-release.ts'

let release: WrittenRelease

beforeAll(async () => {
  release = await writtenRelease(await smallContent(await efiStub(), 'one'))
}, 240_000)

type Json = Record<string, unknown>

function iso(seconds: number): string {
  return new Date(seconds * 1000).toISOString()
}

/** A pointer at the release, with changes. */
function pointer(changes: Json = {}, of: Json = {}): string {
  return JSON.stringify({
    ...{ appliance: 'hello', board: 'generic', architecture: 'x86_64', channel: 'stable' },
    release: {
      ...{ digest: release.release.manifestDigest, size: Buffer.byteLength(release.manifest) },
      ...{ version: '2.0', counter: 2, ...of },
    },
    issued: iso(nowSeconds - 3600),
    expires: iso(nowSeconds + 3600),
    percentage: 100,
    ...changes,
  })
}

/** What a device says that follows `stable`: nothing when it takes the release. */
function verdict(
  document: string,
  changes: Partial<Device> = {},
  signer: Signer = signers.channel,
  namespace = 'solo-channel',
): string {
  const channel = writeEnvelope(document, [signer.sign(namespace, document)])
  try {
    verifyRelease(signed(release.manifest, { channel }), deviceWith({ channel: 'stable', ...changes }))
    return 'accepted'
  } catch (error) {
    if (error instanceof UpdateRefused) return error.check
    throw error
  }
}

describe('a release that comes by a channel', () => {
  test('is taken while its pointer holds, and refused from the pointer’s end on', () => {
    expect(verdict(pointer())).toBe('accepted')
    fc.assert(
      fc.property(fc.integer({ min: -7200, max: 7200 }), (after) => {
        const now = nowSeconds + after
        expect(verdict(pointer(), { nowSeconds: now })).toBe(after < 3600 ? 'accepted' : 'expired')
      }),
    )
  })

  test('is refused when it is from the future, by a clock that is known to be right', () => {
    const day = 24 * 3600
    const of = (ahead: number): string =>
      pointer({ issued: iso(nowSeconds + ahead), expires: iso(nowSeconds + 3 * day) })
    expect(verdict(of(2 * day))).toBe('accepted')
    expect(verdict(of(2 * day), { isTimeKnown: true })).toBe('channel')
    expect(verdict(of(day), { isTimeKnown: true })).toBe('accepted')
    // One that was believed before the clock was right does not keep out those that come.
    const lastPointer = { issuedSeconds: nowSeconds + 2 * day, trustVersion: 1 }
    expect(verdict(pointer(), { lastPointer })).toBe('channel')
    expect(verdict(pointer(), { lastPointer, isTimeKnown: true })).toBe('accepted')
  })

  test.each([
    ['of another appliance', { appliance: 'other' }, {}, 'appliance'],
    ['of another board', { board: 'other' }, {}, 'board'],
    ['of another architecture', { architecture: 'aarch64' }, {}, 'architecture'],
    ['of another channel', { channel: 'beta' }, {}, 'channel'],
    ['at another manifest', {}, { digest: `sha256:${'a'.repeat(64)}` }, 'channel'],
    ['at a manifest of another size', {}, { size: 1 }, 'channel'],
    ['at another version', {}, { version: '2.1' }, 'channel'],
    ['at another counter', {}, { counter: 3 }, 'channel'],
    ['without an end', { expires: undefined }, {}, 'format'],
    ['with its end before its beginning', { issued: iso(nowSeconds + 7200) }, {}, 'format'],
    ['for more than all', { percentage: 101 }, {}, 'format'],
    ['for a window that is none', { window: { from: '25:00', to: '26:00' } }, {}, 'format'],
    ['with a digest like a path', {}, { digest: 'sha256:../x' }, 'format'],
  ])('is refused by a pointer %s', (_, changes, of, expected) => {
    expect(verdict(pointer(changes, of))).toBe(expected)
  })

  test('is refused when the pointer is signed by others, or for something else', () => {
    for (const signer of [stranger, signers.release, signers.trust])
      expect(verdict(pointer(), {}, signer)).toBe('signature')
    expect(verdict(pointer(), {}, signers.channel, 'solo-release')).toBe('signature')
  })

  test('is refused without a pointer, and where no key is for channels', () => {
    expect(() => verifyRelease(signed(release.manifest), deviceWith({ channel: 'stable' }))).toThrow(
      'without the pointer',
    )
    const trust = readTrust(trustText({ roles: { release: { threshold: 1, keys: [signers.release.line] } } }))
    expect(verdict(pointer(), { trust })).toBe('channel')
  })

  test('is refused when its pointer is older than one that was seen, until new keys hold', () => {
    const lastPointer = { issuedSeconds: nowSeconds - 3599, trustVersion: 1 }
    expect(verdict(pointer(), { lastPointer })).toBe('channel')
    expect(verdict(pointer(), { lastPointer: { ...lastPointer, issuedSeconds: nowSeconds - 3600 } })).toBe(
      'accepted',
    )
    expect(verdict(pointer(), { lastPointer: { ...lastPointer, trustVersion: 0 } })).toBe('accepted')
  })

  test('is refused with any character of its pointer changed', () => {
    const document = pointer()
    const signature = signers.channel.sign('solo-channel', document)
    for (let at = 0; at < document.length; at++) {
      const changed = `${document.slice(0, at)}${document[at] === '1' ? '2' : '1'}${document.slice(at + 1)}`
      expect(() => verifyChannel(writeEnvelope(changed, [signature]), deviceWith())).toThrow(UpdateRefused)
    }
  })
})

test('verifyChannel() gives what pollers decide by', () => {
  const document = pointer({ percentage: 10, hold: true, window: { from: '23:00', to: '04:30' } })
  const envelope = writeEnvelope(document, [signers.channel.sign('solo-channel', document)])
  expect(verifyChannel(envelope, deviceWith())).toMatchObject({
    ...{ percentage: 10, hold: true, force: false, window: { from: '23:00', to: '04:30' } },
    expiresSeconds: nowSeconds + 3600,
  })
})
