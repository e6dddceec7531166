import { expect, test } from 'vitest'
import { wipedOnFork } from '../../src/guest/own-randomness.ts'
import { startAgent } from './host-agent.ts'

test('wipedOnFork() finds the mappings with the flag wf', () => {
  const smaps =
    '7f00-8000 rw-p 0 00:00 0\nRss: 4 kB\nVmFlags: rd wr wf\n9000-a000 rw-p 0 00:00 0\nVmFlags: rd\n'
  expect(wipedOnFork(smaps)).toEqual([0x7f00])
})

test('a process has the page by which BoringSSL sees that it was copied', async () => {
  await using agent = await startAgent()
  const smaps = await agent.client.run(async () => {
    const { randomBytes } = await import('node:crypto')
    const { readFileSync } = await import('node:fs')
    randomBytes(1)
    return readFileSync('/proc/self/smaps', 'latin1')
  })
  expect(wipedOnFork(smaps)).toHaveLength(1)
})
