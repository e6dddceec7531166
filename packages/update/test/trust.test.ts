import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { UpdateRefused } from '../src/refused.ts'
import { parsePublicKey } from '../src/ssh-key.ts'
import {
  advanceTrust,
  checkTrustExpiry,
  effectiveTrust,
  keepTrust,
  readTrust,
  writeEnvelope,
} from '../src/trust.ts'
import { signers, stranger, trustText } from './support/candidate.ts'
import { Signer } from './support/signer.ts'

const [one, two, three] = [
  new Signer({ comment: 'one' }),
  new Signer({ comment: 'two' }),
  new Signer({ comment: 'three' }),
]

/** Roles in which some keys are for trust, and one for releases. */
function roles(trust: readonly Signer[], threshold = 1): object {
  const role = { threshold, keys: trust.map(({ line }) => line) }
  return { release: { threshold: 1, keys: [signers.release.line] }, trust: role }
}

function envelope(text: string, by: readonly Signer[], namespace = 'solo-trust'): string {
  return writeEnvelope(
    text,
    by.map((signer) => signer.sign(namespace, text)),
  )
}

function fingerprint(signer: Signer): string {
  return parsePublicKey(signer.line).fingerprint
}

function reason(run: () => unknown): string {
  try {
    run()
    return 'nothing'
  } catch (error) {
    if (error instanceof UpdateRefused) return `${error.check}: ${error.message}`
    throw error
  }
}

describe('readTrust()', () => {
  test.each([
    ['no JSON', '{', 'is no JSON'],
    ['a list', '[]', 'trust: the trust document'],
    ['no release role', trustText({ roles: {} }), 'roles.release'],
    ['version 0', trustText({ version: 0 }), 'version'],
    ['an appliance like a path', trustText({ appliance: '../x' }), 'appliance'],
    ['a threshold of 0', trustText({ roles: roles([one], 0) }), 'roles.trust.threshold'],
    [
      'a threshold that cannot be reached',
      trustText({ roles: roles([one, two], 3) }),
      'asks for 3 signatures of 2 keys',
    ],
    [
      'a key twice, with another comment',
      trustText({ roles: { release: { threshold: 2, keys: [one.line, `${one.line} again`] } } }),
      'has a key twice',
    ],
    [
      'a threshold that needs a revoked key',
      trustText({ roles: roles([one, two], 2), revoked: [fingerprint(one)] }),
      'asks for 2 signatures of 1 keys',
    ],
    [
      'a key that is none',
      trustText({ roles: { release: { threshold: 1, keys: ['ssh-rsa AAAA'] } } }),
      'roles.release',
    ],
    ['an end that is no time', trustText({ expires: 'soon' }), 'expires'],
    ['a fingerprint with a slip', trustText({ revoked: [fingerprint(one).slice(0, -1)] }), 'revoked.0'],
  ])('refuses %s', (_, text, message) => {
    const said = reason(() => readTrust(text))
    expect(said).toContain('trust: ')
    expect(said).toContain(message)
  })

  test('reads any text or refuses it', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json()), (text) =>
        reason(() => readTrust(text)).startsWith('trust: '),
      ),
    )
  })
})

describe('advanceTrust()', () => {
  const first = readTrust(trustText({ roles: roles([one, two], 2) }))
  const second = trustText({ version: 2, roles: roles([two, three], 2) })

  test('goes along a chain in any order, and passes over what is known', () => {
    const third = trustText({ version: 3, roles: roles([three]), revoked: [fingerprint(one)] })
    const chain = [envelope(second, [one, two, three]), envelope(third, [two, three])]
    for (const envelopes of [chain, chain.toReversed()]) {
      const { trust, accepted } = advanceTrust(first, envelopes)
      expect(trust.version).toBe(3)
      expect(trust.revoked).toEqual([fingerprint(one)])
      expect(accepted).toEqual(chain)
    }
    const known = readTrust(third)
    expect(advanceTrust(known, chain)).toEqual({ trust: known, accepted: [] })
  })

  test('takes a document once, of which several envelopes have more and fewer signatures', () => {
    const all = [one, two, three]
    const [few, enough, more] = [
      envelope(second, [two]),
      envelope(second, all),
      envelope(second, [...all, stranger]),
    ]
    for (const envelopes of [
      [few, enough],
      [enough, few],
      [few, enough, more],
    ])
      expect(advanceTrust(first, envelopes).accepted).toEqual([enough])
  })

  test.each([
    ['of the old keys only', [one, two]],
    ['of the new keys only', [two, three]],
    ['of too few of both', [two]],
    ['of nobody', []],
    ['of strangers', [stranger]],
  ])('refuses a document with signatures %s', (_, by) => {
    expect(reason(() => advanceTrust(first, [envelope(second, by)]))).toContain('trust: trust document 2')
  })

  test('refuses a document that is signed for something else, or was changed', () => {
    const all = [one, two, three]
    expect(reason(() => advanceTrust(first, [envelope(second, all, 'solo-release')]))).toContain(
      'for "solo-release"',
    )
    const signatures = all.map((signer) => signer.sign('solo-trust', second))
    expect(reason(() => advanceTrust(first, [writeEnvelope(`${second} `, signatures)]))).toContain(
      'not valid',
    )
  })

  test('refuses a chain with a gap, and a document of another appliance', () => {
    const all = [one, two, three]
    const third = envelope(trustText({ version: 3, roles: roles([one, two], 2) }), all)
    expect(reason(() => advanceTrust(first, [third]))).toContain('2 is missing')
    const theirs = envelope(trustText({ version: 2, appliance: 'other', roles: roles([one]) }), all)
    expect(reason(() => advanceTrust(first, [theirs]))).toContain('is for other, expected hello')
  })

  test('does not count a key that the old document, or the new one, revokes', () => {
    const loose = readTrust(trustText({ roles: roles([one, two]), revoked: [fingerprint(one)] }))
    const next = trustText({ version: 2, roles: roles([one, three]) })
    expect(reason(() => advanceTrust(loose, [envelope(next, [one, three])]))).toContain('which is revoked')
    const dropped = trustText({ version: 2, roles: roles([one, two]), revoked: [fingerprint(one)] })
    expect(
      reason(() => advanceTrust(readTrust(trustText({ roles: roles([one]) })), [envelope(dropped, [one])])),
    ).toContain('which is revoked')
  })

  test('refuses any document where the present one has no trust keys', () => {
    const closed = readTrust(trustText({ roles: { release: { threshold: 1, keys: [one.line] } } }))
    expect(reason(() => advanceTrust(closed, [envelope(second, [one, two, three])]))).toContain(
      'names no keys for trust',
    )
  })
})

describe('effectiveTrust()', () => {
  const image = trustText({ roles: roles([one]) })
  const second = envelope(trustText({ version: 2, roles: roles([two]), revoked: [fingerprint(one)] }), [
    one,
    two,
  ])
  const third = envelope(trustText({ version: 3, roles: roles([two]) }), [two])

  test('goes on from the image’s document by what is kept', () => {
    const kept = keepTrust(keepTrust(undefined, [second]), [third])
    expect(effectiveTrust(image, kept).version).toBe(3)
    expect(effectiveTrust(image).version).toBe(1)
  })

  test('takes the image’s document when it is newer than what is kept', () => {
    const newer = trustText({ version: 5, roles: roles([three]) })
    expect(effectiveTrust(newer, keepTrust(undefined, [second, third])).version).toBe(5)
  })

  test('fills gaps that a return to an older image left in what is kept', () => {
    const newer = trustText({ version: 3, roles: roles([two]) })
    const fourth = envelope(trustText({ version: 4, roles: roles([two]) }), [two])
    const kept = keepTrust(keepTrust(undefined, [second]), [fourth])
    expect(effectiveTrust(newer, kept).version).toBe(4)
    expect(effectiveTrust(image, kept).version).toBe(2)
    expect(effectiveTrust(image, keepTrust(kept, [third, fourth])).version).toBe(4)
  })

  test('believes nothing that is kept and not signed, whatever the file holds', () => {
    const forged = envelope(trustText({ version: 3, roles: roles([stranger]) }), [stranger])
    expect(effectiveTrust(image, keepTrust(undefined, [second, forged])).version).toBe(2)
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json()), (kept) => {
        expect(effectiveTrust(image, kept).version).toBe(1)
        expect(effectiveTrust(image, keepTrust(kept, [second])).version).toBe(2)
      }),
    )
  })
})

test('checkTrustExpiry() refuses a document from its end on', () => {
  const trust = readTrust(trustText({ expires: '2027-01-01T00:00:00Z' }))
  const end = Date.parse('2027-01-01T00:00:00Z') / 1000
  expect(reason(() => checkTrustExpiry(trust, end - 1))).toBe('nothing')
  expect(reason(() => checkTrustExpiry(trust, end))).toContain('expired: ')
  expect(reason(() => checkTrustExpiry(readTrust(trustText()), end))).toBe('nothing')
})
