import { describe, expect, test } from 'vitest'
import { installRelease, MediumError } from '../src/install.ts'
import { frameBytes } from '../src/release.ts'
import { type BlobSource, SourceError } from '../src/source.ts'
import {
  diskWith,
  expectInstalled,
  install,
  newEntry,
  one,
  partitionOf,
  random,
  runningEntry,
  two,
} from './support/installation.ts'
import { problemsOf } from './support/judge.ts'
import { MemorySource } from './support/memory-source.ts'
import { noise } from './support/sample-release.ts'
import { SimulatedMachine } from './support/simulated-machine.ts'

describe('installRelease()', () => {
  test('fills an empty slot with less than the raw bytes: by frames', async () => {
    const machine = new SimulatedMachine(diskWith())
    const source = new MemorySource(two.blobs)
    const { fetchedBytes } = await install({ release: two, machine, source })
    expectInstalled(machine, two)
    const { root, uki } = two.release
    const most = root.compressed.sizeBytes + uki.compressed.sizeBytes + uki.tree.sizeBytes + 60_000
    expect(fetchedBytes).toBeLessThan(most)
    expect(source.asked.reduce((sum, { length }) => sum + length, 0)).toBe(fetchedBytes)
    expect(Math.max(...source.asked.map(({ length }) => length))).toBeLessThanOrEqual(frameBytes)
  })

  test('moves only what changed, when the running slot has the rest', async () => {
    const machine = new SimulatedMachine(diskWith())
    const { fetchedBytes } = await install({ release: two, machine, running: partitionOf(one) })
    expectInstalled(machine, two)
    expect(fetchedBytes).toBeLessThan(120_000)
  })

  test('writes only what changed, when the free slot has the rest', async () => {
    const machine = new SimulatedMachine(diskWith(one))
    await install({ release: two, machine })
    expectInstalled(machine, two)
    const written = machine.log.reduce((sum, step) => sum + ('bytes' in step ? step.bytes.length : 0), 0)
    expect(written).toBeLessThan(250_000)
  })

  test('fetches nothing and ends alike when the free slot has the release already', async () => {
    const machine = new SimulatedMachine(diskWith(two))
    expect(await install({ release: two, machine })).toEqual({ fetchedBytes: 0 })
    expectInstalled(machine, two)
  })
})

describe('installRelease() and donors', () => {
  test('never uses a block of a donor that is not what its tree says', async () => {
    const machine = new SimulatedMachine(diskWith(one))
    const running = partitionOf(one)
    const next = random(1)
    for (const bytes of [running, machine.content.root]) {
      for (let block = 1; block < one.release.root.dataBlocks; block += 3) {
        const at = block * 4096 + Math.floor(next() * 4096)
        bytes[at] = (bytes[at] ?? 0) ^ 1
      }
    }
    const kernelBytes = machine.content.files.get('solob+2-1.efi')
    kernelBytes?.fill(9, 100_000, 200_000)
    await install({ release: two, machine, running })
    expectInstalled(machine, two)
  })

  test('takes no harm from donors whose trees and superblocks are garbage', async () => {
    const machine = new SimulatedMachine(diskWith(one))
    machine.content.root.fill(0xa5, 4096)
    const running = partitionOf(one)
    running.set(noise('garbage', running.length - 8192), 8192)
    await install({ release: two, machine, running })
    expectInstalled(machine, two)
  })

  test('goes on when a donor cannot be read', async () => {
    const machine = new SimulatedMachine(diskWith())
    const bytes = partitionOf(one)
    const running = {
      sizeBytes: bytes.length,
      read: (offset: number, length: number) =>
        offset % 8192 === 0 && offset > 0
          ? Promise.reject(new Error('EIO'))
          : Promise.resolve(bytes.subarray(offset, offset + length)),
    }
    await installRelease({
      release: two.release,
      source: new MemorySource(two.blobs),
      slot: 'solo-b',
      target: machine.target,
      donors: [running],
      boot: machine.boot,
    })
    expectInstalled(machine, two)
  })
})

describe('installRelease() and a source that', () => {
  /** The sample's source, with what it gives changed from the n-th part on. */
  function changed(
    from: number,
    change: (chunks: AsyncIterable<Uint8Array>) => AsyncIterable<Uint8Array>,
  ): BlobSource {
    const source = new MemorySource(two.blobs)
    return {
      open(digest, offset, length) {
        const chunks = source.open(digest, offset, length)
        return source.asked.length + 1 > from ? change(chunks) : chunks
      },
    }
  }

  const lies: [string, (chunks: AsyncIterable<Uint8Array>) => AsyncIterable<Uint8Array>, object][] = [
    [
      'gives other bytes',
      async function* (chunks) {
        for await (const chunk of chunks) yield new Uint8Array(chunk).fill(1, 10, 20)
      },
      { name: 'UpdateRefused', check: 'digest' },
    ],
    [
      'gives fewer bytes',
      async function* (chunks) {
        for await (const chunk of chunks) yield chunk.subarray(1)
      },
      { name: 'SourceError' },
    ],
    [
      'never ends',
      async function* (chunks) {
        yield* chunks
        for (;;) yield new Uint8Array(1000)
      },
      { name: 'UpdateRefused', check: 'size' },
    ],
    [
      'falls silent',
      async function* (chunks) {
        for await (const chunk of chunks) {
          yield chunk.subarray(0, 1)
          await new Promise(() => {})
        }
      },
      { name: 'SourceError', message: expect.stringMatching(/gave nothing .* for 0.2 s/) },
    ],
    [
      'dies',
      // oxlint-disable-next-line require-yield -- it dies before it gives anything
      async function* () {
        throw new SourceError('connection reset')
      },
      { name: 'SourceError', message: 'connection reset' },
    ],
  ]

  for (const [what, change, error] of lies) {
    test.each([0, 1, 2, 4])(
      `${what}, from part %i on: the slot does not boot, and the next try ends well`,
      async (from) => {
        const before = diskWith(one)
        const machine = new SimulatedMachine(before)
        await expect(install({ release: two, machine, source: changed(from, change) })).rejects.toMatchObject(
          error,
        )
        const world = { running: one, runningEntry, releases: [one, two] }
        expect(problemsOf(machine.content, world)).toEqual([])
        if (from === 0) expect(machine.log).toEqual([])
        else expect([...machine.content.files.keys()]).not.toContain(newEntry)
        await install({ release: two, machine })
        expectInstalled(machine, two)
      },
    )
  }
})

describe('installRelease()', () => {
  test('refuses what does not fit before it writes anything', async () => {
    const small = new SimulatedMachine({ ...diskWith(one), root: new Uint8Array(1024 * 1024) })
    await expect(install({ release: two, machine: small })).rejects.toMatchObject({ check: 'space' })
    const full = new SimulatedMachine(diskWith())
    full.bootBytes = one.uki.length + 1000
    await expect(install({ release: two, machine: full })).rejects.toMatchObject({ check: 'space' })
    expect([small.log, full.log]).toEqual([[], []])
  })

  test('needs no more room on the boot partition than two kernel images take', async () => {
    const machine = new SimulatedMachine(diskWith(one))
    machine.bootBytes = 2 * one.uki.length + 64 * 1024
    await install({ release: two, machine })
    expectInstalled(machine, two)
  })

  test('does not give the slot its first block when the medium reads back other bytes', async () => {
    const machine = new SimulatedMachine(diskWith())
    machine.onReadDirect = (offset, bytes) => {
      if (offset === 0) bytes[5000] = (bytes[5000] ?? 0) ^ 0x40
    }
    await expect(install({ release: two, machine })).rejects.toThrow(MediumError)
    expect(problemsOf(machine.content, { running: one, runningEntry, releases: [one, two] })).toEqual([])
    expect(machine.content.files.has(newEntry)).toBe(false)
  })

  test('ends with the reason of its signal, and goes on another time', async () => {
    const machine = new SimulatedMachine(diskWith())
    const source = new MemorySource(two.blobs)
    const controller = new AbortController()
    const aborting: BlobSource = {
      open(digest, offset, length) {
        if (source.asked.length === 2) controller.abort(new Error('enough'))
        return source.open(digest, offset, length)
      },
    }
    await expect(
      install({ release: two, machine, source: aborting, signal: controller.signal }),
    ).rejects.toThrow('enough')
    await install({ release: two, machine })
    expectInstalled(machine, two)
  })
})
