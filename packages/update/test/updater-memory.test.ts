// A release of the size that appliances have: Bun's own program is what fills their roots.
import { readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { installByUpdater } from '../src/updater-client.ts'
import { MemorySource } from './support/memory-source.ts'
import { type SampleRelease, sampleRelease } from './support/sample-release.ts'
import { UpdaterMachine } from './support/updater-process.ts'

const MiB = 1024 * 1024
const bun = new Uint8Array(readFileSync(process.execPath))

/** One line of the service differs, and in the kernel image the hash of the root. */
function release(counter: number): Promise<SampleRelease> {
  const uki = new Uint8Array(15 * MiB)
  uki.set(bun.subarray(0, uki.length))
  uki.set(new TextEncoder().encode(`hash of root ${counter}`), uki.length - 6000)
  uki.set(new TextEncoder().encode(`version ${counter}`), uki.length - 3000)
  const page = new TextEncoder().encode(`const version = ${counter}\n`.padEnd(70_000, 'let x\n'))
  return sampleRelease(counter, { '/bin/bun': bun, '/usr/lib/solo/page.js': page }, uki)
}

const one = await release(1)
const two = await release(2)
const partitionBytes = Math.ceil(one.root.length / MiB + 32) * MiB

/** What an installation took, with the program's memory beside what it had before. */
async function measure(device: UpdaterMachine): Promise<{ fetchedBytes: number; riseBytes: number }> {
  await device.start()
  const idleBytes = device.memory('VmRSS')
  const { fetchedBytes } = await installByUpdater({
    documents: device.documents(two),
    source: new MemorySource(two.blobs),
    socket: device.socket,
  })
  const riseBytes = device.memory('VmHWM') - idleBytes
  console.log(`${fetchedBytes} bytes fetched, ${riseBytes} bytes over idle`)
  expect(Buffer.compare(readFileSync(device.rootB).subarray(0, two.root.length), two.root)).toBe(0)
  return { fetchedBytes, riseBytes }
}

describe('updater, with a root of a hundred megabytes', () => {
  test('moves less than 300 KB for a one-line change, and needs no more than 32 MB over idle', async () => {
    await using device = new UpdaterMachine(one, partitionBytes)
    const { fetchedBytes, riseBytes } = await measure(device)
    expect(one.root.length).toBeGreaterThan(100 * MiB)
    expect(fetchedBytes).toBeLessThan(300_000)
    expect(riseBytes).toBeLessThan(32 * MiB)
  })

  test('moves the compressed blobs for a full load, and needs no more than 32 MB over idle', async () => {
    await using device = new UpdaterMachine(one, partitionBytes)
    writeFileSync(device.path('root-a'), '')
    truncateSync(device.path('root-a'), partitionBytes)
    writeFileSync(`${device.bootFolder}/soloa+3-0.efi`, '')
    const { fetchedBytes, riseBytes } = await measure(device)
    const { root, uki } = two.release
    const compressedBytes = root.compressed.sizeBytes + uki.compressed.sizeBytes
    // And the hash trees, which do not compress.
    expect(fetchedBytes).toBeLessThan(compressedBytes + root.sizeBytes / 100)
    expect(riseBytes).toBeLessThan(32 * MiB)
  })
})
