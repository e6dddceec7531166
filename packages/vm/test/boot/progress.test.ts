import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test, vi } from 'vitest'
import { boot } from '../../src/boot.ts'

const cache = mkdtempSync(join(tmpdir(), 'solo-progress-'))
afterAll(() => {
  vi.unstubAllEnvs()
  rmSync(cache, { recursive: true })
})

test('boot() tells what a first boot does, and that a second one needs less', async () => {
  vi.stubEnv('SOLO_CACHE_DIR', cache)
  const first: string[] = []
  await using one = await boot({ backend: 'namespace', onProgress: (step) => first.push(step) })
  expect(first).toEqual(["building the guest's root", 'starting the guest'])
  const second: string[] = []
  await using other = await boot({ backend: 'namespace', onProgress: (step) => second.push(step) })
  expect(second).toEqual(['starting the guest'])
  await Promise.all([one.poweroff(), other.poweroff()])
})
