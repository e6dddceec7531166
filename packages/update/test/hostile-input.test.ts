// Everything that comes from outside is read or refused: no other error, and no end of it is waited for.
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { verifyChannel } from '../src/channel.ts'
import { collectDocuments } from '../src/layout.ts'
import { UpdateRefused } from '../src/refused.ts'
import { readDocuments, readRelease } from '../src/release.ts'
import { parsePublicKey, SshFormatError } from '../src/ssh-key.ts'
import { parseSignature } from '../src/ssh-signature.ts'
import { advanceTrust, effectiveTrust, keepTrust, readTrust, writeEnvelope } from '../src/trust.ts'
import { explainRelease, verifyRelease } from '../src/verify.ts'
import { deviceWith, signed, signers, trustText } from './support/candidate.ts'

const trust = readTrust(trustText())

/** Texts that begin as they should, that are JSON of any shape, and that nest deeply. */
const text = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 300 }),
  fc.json({ maxDepth: 4 }),
  fc.constantFrom(
    '['.repeat(100_000),
    '{"a":'.repeat(20_000),
    '{"__proto__":{"signatures":[]}}',
    '\uFEFF{}',
    '1e999',
    '"\uD800"',
  ),
)

function refuses(run: () => unknown): void {
  try {
    run()
  } catch (error) {
    if (!(error instanceof UpdateRefused || error instanceof SshFormatError)) throw error
  }
}

test('documents, manifests, trust and pointers of any shape are read or refused', () => {
  fc.assert(
    fc.property(text, fc.anything(), (any, value) => {
      refuses(() => readDocuments(value))
      refuses(() => readRelease(any))
      refuses(() => readTrust(any))
      refuses(() => advanceTrust(trust, [any]))
      refuses(() => advanceTrust(trust, [writeEnvelope(any, [any])]))
      refuses(() => verifyChannel(any, deviceWith()))
      refuses(() => parseSignature(any))
      refuses(() => parsePublicKey(any))
      effectiveTrust(trustText(), keepTrust(any, [any]))
    }),
    { numRuns: 300 },
  )
})

test('what the owner signed is read or refused as well, whatever it is', () => {
  fc.assert(
    fc.property(text, (any) => {
      const documents = signed(any)
      refuses(() => verifyRelease(documents, deviceWith()))
      expect(explainRelease(documents, deviceWith()).findings.some(({ ok }) => ok !== true)).toBe(true)
      refuses(() =>
        verifyChannel(writeEnvelope(any, [signers.channel.sign('solo-channel', any)]), deviceWith()),
      )
      refuses(() => advanceTrust(trust, [writeEnvelope(any, [signers.trust.sign('solo-trust', any)])]))
    }),
    { numRuns: 200 },
  )
})

test('collectDocuments() reads or refuses whatever a source gives, and asks for no more than it may', async () => {
  const digest = `sha256:${'a'.repeat(64)}`
  const part = fc.record({
    mediaType: fc.constantFrom('application/vnd.oci.image.manifest.v1+json', 'other'),
    digest: fc.constantFrom(digest, 'sha256:../x', ''),
    size: fc.oneof(fc.integer(), fc.constantFrom(2, 65_536, 300_000)),
  })
  const index = fc.oneof(
    text,
    fc
      .record({ schemaVersion: fc.constant(2), manifests: fc.array(part, { maxLength: 20 }) })
      .map((json) => JSON.stringify(json)),
  )
  await fc.assert(
    fc.asyncProperty(index, text, async (first, other) => {
      let askedBytes = 0
      const source = {
        index: () => Promise.resolve(new TextEncoder().encode(first)),
        document: (_: string, sizeBytes: number) => {
          askedBytes += sizeBytes
          return Promise.resolve(new TextEncoder().encode(other))
        },
      }
      await expect(collectDocuments(source)).rejects.toThrow(UpdateRefused)
      expect(askedBytes).toBeLessThanOrEqual(256 * 1024)
    }),
    { numRuns: 200 },
  )
})
