// What is said where no guest of namespaces can be made ready.
import { expect, onTestFinished, test, vi } from 'vitest'
import { namespaceSupport } from '../src/namespace.ts'

test('namespaceSupport() says which folder cannot be used, and looks again once it can', async () => {
  onTestFinished(() => void vi.unstubAllEnvs())
  // Nobody can make a folder there; a full /tmp fails likewise.
  vi.stubEnv('TMPDIR', '/proc')
  const { works, reason } = await namespaceSupport()
  expect(works).toBe(false)
  expect(reason).toMatch(/^\/proc, where a guest is made ready, cannot be used \(ENOENT/)
  vi.unstubAllEnvs()
  expect(await namespaceSupport()).toEqual({ works: true, reason: '' })
})
