// watchLinks() in a namespace of the test's own, with ip(8) making things happen.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { createNetwork, type Program, type TestNetwork } from './namespace.ts'

let network: TestNetwork
let program: Program
beforeEach(async () => {
  network = await createNetwork()
  program = network.client.start(
    process.execPath,
    fileURLToPath(new URL('./programs/watch-links.ts', import.meta.url)),
  )
  await program.line((line) => line.startsWith('changed c0 down'), 20_000)
})
afterEach(() => network[Symbol.asyncDispose]())

test('watchLinks() tells of links that exist, appear, change and go', async () => {
  expect(program.lines).toEqual(['changed lo down none 65536', 'changed c0 down none 1500'])
  network.client.run('ip', 'link', 'set', 'c0', 'up', 'mtu', '1400')
  await program.line((line) => line === 'changed c0 up carrier 1400', 20_000)
  network.server.run('ip', 'link', 'set', 's0', 'down')
  await program.line((line) => line === 'changed c0 up none 1400', 20_000)
  network.client.run('ip', 'link', 'add', 'b0', 'type', 'bridge')
  await program.line((line) => line.startsWith('changed b0'), 20_000)
  network.client.run('ip', 'link', 'set', 'c0', 'master', 'b0')
  network.client.run('ip', 'link', 'set', 'c0', 'nomaster')
  network.client.run('ip', 'link', 'del', 'b0')
  await program.line((line) => line.startsWith('removed b0'), 20_000)
  // A port that leaves its bridge comes as RTM_DELLINK of AF_BRIDGE: the link itself is still there.
  expect(program.lines.filter((line) => line.startsWith('removed c0'))).toEqual([])
})

test('watchLinks() tells the truth in the end when events were lost', async () => {
  // Stopped, it cannot read; each line of the batch is an event of about 1.3 kB, for a buffer of 212,992 bytes.
  program.signal('SIGSTOP')
  const batch = Array.from({ length: 6_000 }, (_, index) => `link set c0 mtu ${1_000 + (index % 400)}`)
  const file = join(network.folder, 'batch')
  writeFileSync(file, [...batch, 'link set c0 mtu 1234', 'link add b0 type bridge'].join('\n'))
  network.client.run('ip', '-batch', file)
  program.signal('SIGCONT')
  await program.line((line) => line.startsWith('changed b0'), 20_000)
  expect(program.lines.findLast((line) => line.includes(' c0 '))).toBe('changed c0 down none 1234')
  expect(program.lines.length).toBeLessThan(5_000)
})

test('watchLinks() ends without an error when it is aborted', async () => {
  await program.stop()
  expect(program.lines.at(-1)).toBe('end')
})
