import { describe, expect, test } from 'vitest'
import type { ChannelPointer } from '../src/channel.ts'
import { type ChannelSituation, decideOnChannel, nextOpening, shareOf } from '../src/channel-decision.ts'

const pointer: ChannelPointer = {
  appliance: 'kiosk',
  board: 'generic',
  architecture: 'x86_64',
  channel: 'stable',
  release: { digest: `sha256:${'ab'.repeat(32)}`, size: 4000, version: '1.3', counter: 13 },
  issuedSeconds: 0,
  expiresSeconds: 9e9,
  percentage: 100,
  hold: false,
  force: false,
}

/** 2026-11-30, 12:00 UTC. */
const noon = Date.UTC(2026, 10, 30, 12) / 1000
const hour = 3600

const situation: ChannelSituation = {
  pointer,
  running: { counter: 12 },
  other: { counter: 11 },
  givenUp: null,
  machineId: 'c0ffee',
  nowSeconds: noon,
}

const night = { from: '23:00', to: '01:00' }
const lunch = { from: '11:30', to: '13:00' }
const share = shareOf(situation.machineId, pointer.release.digest)

describe('decideOnChannel()', () => {
  const with_ = (changes: Partial<ChannelPointer>): ChannelPointer => ({ ...pointer, ...changes })
  test.each<[string, Partial<ChannelSituation>, string, RegExp, number?]>([
    ['a newer release', {}, 'install', /the channel has 1.3/],
    ['the release that runs', { running: { counter: 13 } }, 'none', /not newer/],
    ['an older one than runs', { running: { counter: 14 } }, 'none', /not newer/],
    ['one that waits for its boot', { other: { counter: 13 } }, 'restart', /installed and will be tried/],
    [
      'an older one than somebody has installed by hand',
      { other: { counter: 14 } },
      'wait',
      /the channel has 1\.3; release 14 is installed, and tried at the next boot/,
    ],
    [
      'one in place of another that was withdrawn',
      { other: { counter: 14, isOurs: true } },
      'install',
      /1\.3/,
    ],
    [
      'none in place of another that was withdrawn',
      { running: { counter: 13 }, other: { counter: 14, isOurs: true } },
      'none',
      /not newer than what runs; release 14 is installed/,
    ],
    [
      'one that waits for its boot, on hold',
      { other: { counter: 13 }, pointer: with_({ hold: true }) },
      'wait',
      /channel is on hold/,
    ],
    [
      'one that waits for its boot, held by the owner',
      { other: { counter: 13 }, hold: true },
      'wait',
      /on hold/,
    ],
    [
      'one that waits for its boot, for none any more',
      { other: { counter: 13 }, pointer: with_({ percentage: 0 }) },
      'wait',
      /0 % of devices/,
    ],
    [
      'one that waits for its boot outside the window',
      { other: { counter: 13 }, window: night },
      'wait',
      /window/,
      noon + 11 * hour,
    ],
    [
      'a forced one that waits for its boot',
      { other: { counter: 13 }, pointer: with_({ percentage: 0, force: true, window: night }) },
      'restart',
      /will be tried/,
    ],
    [
      'one that may be tried again later',
      { givenUp: { counter: 13, reason: 'silence', retrySeconds: noon + 60 } },
      'wait',
      /given up: silence/,
      noon + 60,
    ],
    [
      'one that may be tried again now',
      { givenUp: { counter: 13, reason: 'silence', retrySeconds: noon } },
      'install',
      /1.3/,
    ],
    [
      'one that may be tried again now, on hold',
      { givenUp: { counter: 13, reason: 'silence', retrySeconds: 0 }, pointer: with_({ hold: true }) },
      'wait',
      /on hold/,
    ],
    [
      'one that was installed again',
      { givenUp: { counter: 13, reason: 'silence', retrySeconds: noon + 60 }, other: { counter: 13 } },
      'restart',
      /will be tried/,
    ],
    [
      'one that was given up',
      { givenUp: { counter: 13, reason: 'web failed' } },
      'none',
      /given up: web failed/,
    ],
    ['one after that which was given up', { givenUp: { counter: 12, reason: 'x' } }, 'install', /1.3/],
    [
      'a forced one that was given up',
      { pointer: with_({ force: true }), givenUp: { counter: 13, reason: 'x' } },
      'none',
      /given up/,
    ],
    ['a hold of the channel', { pointer: with_({ hold: true }) }, 'wait', /channel is on hold/],
    ['a hold of the owner', { hold: true }, 'wait', /this device are on hold/],
    ['a forced one on hold', { pointer: with_({ hold: true, force: true }) }, 'wait', /on hold/],
    ['a percentage below', { pointer: with_({ percentage: Math.floor(share) }) }, 'wait', /devices so far/],
    ['a percentage above', { pointer: with_({ percentage: Math.ceil(share) }) }, 'install', /1.3/],
    ['no percentage at all', { pointer: with_({ percentage: 0 }) }, 'wait', /0 % of devices/],
    [
      'force',
      { pointer: with_({ percentage: 0, force: true, window: night }), window: night },
      'install',
      /at once/,
    ],
    ['a window that is open', { pointer: with_({ window: lunch }) }, 'install', /1.3/],
    ['a window that is closed', { pointer: with_({ window: night }) }, 'wait', /window/, noon + 11 * hour],
    ['a window of the owner', { window: night }, 'wait', /window/, noon + 11 * hour],
    [
      'both windows, one open',
      { pointer: with_({ window: lunch }), window: night },
      'wait',
      /window/,
      noon + 11 * hour,
    ],
  ])('%s', (_, changes, action, reason, untilSeconds) => {
    const decision = decideOnChannel({ ...situation, ...changes })
    expect(decision).toMatchObject({ action, reason: expect.stringMatching(reason) })
    expect('untilSeconds' in decision ? decision.untilSeconds : undefined).toBe(untilSeconds)
  })
})

describe('shareOf()', () => {
  test('spreads machines evenly, and not the same ones first for each release', () => {
    const machines = Array.from({ length: 4000 }, (_, index) => `machine ${index}`)
    const first = (release: string): Set<string> =>
      new Set(machines.filter((id) => shareOf(id, release) < 10))
    const [one, two] = [first('release 1'), first('release 2')]
    for (const { size } of [one, two]) expect(Math.abs(size - 400)).toBeLessThan(80)
    const both = one.intersection(two).size
    expect(both).toBeLessThan(100)
    expect(shareOf('a\n', 'r')).toBe(shareOf('a', 'r'))
  })
})

describe('nextOpening()', () => {
  const midnight = noon - 12 * hour
  test.each([
    [lunch, noon, noon],
    [lunch, noon + 1.5 * hour, midnight + 35.5 * hour],
    [night, noon, midnight + 23 * hour],
    [night, midnight + 0.5 * hour, midnight + 0.5 * hour],
    [night, midnight + 1 * hour, midnight + 23 * hour],
    [{ from: '00:00', to: '00:00' }, noon, noon],
    [{ from: '12:00', to: '12:01' }, noon + 60, noon + 24 * hour],
  ])('of %o at %i is %i', (window, now, expected) => {
    expect(nextOpening(window, now)).toBe(expected)
  })

  test('refuses what is no time of day', () => {
    for (const from of ['24:00', '2:30', '02:60', '']) {
      expect(() => nextOpening({ from, to: '03:00' }, 0)).toThrow(TypeError)
    }
  })
})
