// Blocks of the slot that cannot be read until they are written: what a power cut leaves of a sector on flash or disk.
import { describe, expect, test } from 'vitest'
import { installRelease, MediumError } from '../src/install.ts'
import type { BlobSource } from '../src/source.ts'
import { freeState, slotEntryOf } from '../src/updater/slot-states.ts'
import {
  diskWith,
  expectInstalled,
  install,
  newEntry,
  one,
  partitionOf,
  runningEntry,
  two,
  ukiOf,
} from './support/installation.ts'
import { problemsOf } from './support/judge.ts'
import { MemorySource } from './support/memory-source.ts'
import { type SampleRelease, sampleRelease, text } from './support/sample-release.ts'
import { type DiskContent, PowerCut, SimulatedMachine } from './support/simulated-machine.ts'

const { dataBlocks } = two.release.root
const rootBlocks = two.root.length / 4096

/** What lies in the first 256 KiB, in the middle and at the end; verity's superblock, and the tree's first and last block. */
const places: [string, number[]][] = [
  ['the first block', [0]],
  ['the first two blocks', [0, 1]],
  ['a block of data', [500]],
  ['blocks on both sides of what is read at once', [63, 64]],
  ['the last block of data', [dataBlocks - 1]],
  ["verity's superblock", [dataBlocks]],
  ["the tree's root", [dataBlocks + 1]],
  ["the tree's last block", [rootBlocks - 1]],
  ['every seventh block', Array.from({ length: Math.ceil(rootBlocks / 7) }, (_, index) => index * 7)],
  ['every block', Array.from({ length: rootBlocks }, (_, index) => index)],
]

const slots: [string, SampleRelease | undefined][] = [
  ['an empty slot', undefined],
  ['a slot with another release', one],
  ['a slot with the release itself', two],
]

function machineWith(disk: DiskContent, unreadable: Iterable<number>): SimulatedMachine {
  return new SimulatedMachine({ ...disk, unreadable: new Set(unreadable) })
}

describe.each(slots)('installRelease() over %s', (_, there) => {
  test.each(places)('writes %s that cannot be read', async (__, blocks) => {
    const machine = machineWith(diskWith(there), blocks)
    await install({ release: two, machine, running: partitionOf(one) })
    expectInstalled(machine, two)
    expect([...machine.content.unreadable]).toEqual([])
  })
})

describe('installRelease() and blocks that cannot be read', () => {
  test.each(['EIO', 'ENODATA', 'EILSEQ', 'EREMOTEIO', 'EBADMSG', 'EUCLEAN'])(
    'takes %s for one',
    async (code) => {
      const machine = machineWith(diskWith(two), [70])
      machine.readErrorCode = code
      await install({ release: two, machine })
      expectInstalled(machine, two)
    },
  )

  test('fetches no more than they are', async () => {
    const machine = machineWith(diskWith(two), [500, dataBlocks + 3])
    expect(await install({ release: two, machine })).toEqual({ fetchedBytes: 2 * 4096 })
    expectInstalled(machine, two)
  })

  test('goes on with an installation that was interrupted', async () => {
    for (const [, blocks] of places) {
      const machine = new SimulatedMachine(diskWith(one))
      machine.stepsMax = 12
      await expect(install({ release: two, machine })).rejects.toThrow(PowerCut)
      machine.stepsMax = Infinity
      for (const block of blocks) machine.content.unreadable.add(block)
      await install({ release: two, machine })
      expectInstalled(machine, two)
    }
  })

  test('goes on when the running root has one at its beginning', async () => {
    const [machine, running] = [new SimulatedMachine(diskWith()), machineWith(diskWith(), [0])]
    const { release, blobs } = two
    const source = new MemorySource(blobs)
    const { target, boot } = machine
    await installRelease({ release, source, slot: 'solo-b', target, boot, donors: [running.target] })
    expectInstalled(machine, two)
  })

  test('fails as reading does when the error speaks of the disk', async () => {
    for (const blocks of [[0], [500], [dataBlocks + 1]]) {
      const machine = machineWith(diskWith(one), blocks)
      machine.readErrorCode = 'ENODEV'
      await expect(install({ release: two, machine })).rejects.toMatchObject({ code: 'ENODEV' })
      expect(machine.log).toEqual([])
    }
  })
})

describe('installRelease() and a disk that is failing', () => {
  const world = { running: one, runningEntry, releases: [one, two] }

  test('leaves the old slot as it was when a block behind its root stays unreadable', async () => {
    const large = await sampleRelease(2, { '/bin/bun': text('large', 4_000_000) }, ukiOf(2))
    const block = one.root.length / 4096 + 10
    expect(large.root.length / 4096).toBeGreaterThan(block)
    const machine = machineWith(diskWith(one), [block])
    machine.dead.add(block)
    const installing = install({ release: large, machine })
    await expect(installing).rejects.toThrow(MediumError)
    await expect(installing).rejects.toThrow(
      `solo-b, block ${block} of /dev/vda3 (from byte ${block * 4096} on) cannot be read`,
    )
    expect(problemsOf(machine.content, world)).toEqual([])
    expect([...machine.content.files.keys()]).toContain('solob+2-1.efi')
    expect(Buffer.compare(machine.content.root.subarray(0, one.root.length), one.root)).toBe(0)
  })

  test.each([0, 5, 500, dataBlocks + 1, rootBlocks - 1])(
    'gives the slot no entry when block %i stays unreadable, and says which it is',
    async (block) => {
      for (const disk of [diskWith(), diskWith(one)]) {
        const machine = machineWith(disk, [block])
        machine.dead.add(block)
        const installing = install({ release: two, machine })
        await expect(installing).rejects.toThrow(MediumError)
        await expect(installing).rejects.toThrow(`solo-b, block ${block} of /dev/vda3`)
        expect([...machine.content.files.keys()]).not.toContain(newEntry)
      }
    },
  )

  test('writes nothing to one that was gone from the beginning', async () => {
    for (const disk of [diskWith(), diskWith(one)]) {
      const machine = new SimulatedMachine(disk)
      machine.isGone = true
      await expect(install({ release: two, machine })).rejects.toThrow(MediumError)
      expect(machine.log).toEqual([])
    }
  })

  test('writes nothing to one that goes before anything was written', async () => {
    const machine = new SimulatedMachine(diskWith(one))
    const source = new MemorySource(two.blobs)
    const pulling: BlobSource = {
      open(digest, offset, length) {
        machine.isGone = true
        return source.open(digest, offset, length)
      },
    }
    await expect(install({ release: two, machine, source: pulling })).rejects.toThrow(MediumError)
    expect(machine.log).toEqual([])
  })
})

describe('freeState() and blocks that cannot be read', () => {
  const state = async ({ boot, target }: SimulatedMachine): ReturnType<typeof freeState> =>
    await freeState('solo-b', await slotEntryOf('solo-b', boot), target)

  test('calls a slot without its first block partial, with an entry or without', async () => {
    for (const disk of [diskWith(), diskWith(one)])
      expect(await state(machineWith(disk, [0]))).toMatchObject({ condition: 'partial', doneBytes: null })
  })

  test('calls a slot whole, or empty, by its first block alone', async () => {
    expect(await state(machineWith(diskWith(one), [1]))).toMatchObject({ condition: 'whole' })
    expect(await state(machineWith(diskWith(), [1]))).toMatchObject({ condition: 'empty' })
  })

  test('does not count them while the slot is being written', async () => {
    const machine = new SimulatedMachine(diskWith(two))
    machine.stepsMax = 6
    await expect(install({ release: two, machine })).rejects.toThrow(PowerCut)
    const { doneBytes } = await state(machine)
    // The first block is the mark.
    expect(doneBytes).toBe((dataBlocks - 1) * 4096)
    for (const block of [500, 501, 700]) machine.content.unreadable.add(block)
    expect(await state(machine)).toMatchObject({ condition: 'partial', doneBytes: (dataBlocks - 4) * 4096 })
    machine.content.unreadable.add(rootBlocks - 1)
    const last = dataBlocks % 128 === 0 ? 128 : dataBlocks % 128
    expect(await state(machine)).toMatchObject({ doneBytes: (dataBlocks - 4 - last) * 4096 })
    machine.content.unreadable.add(dataBlocks + 1)
    expect(await state(machine)).toMatchObject({ condition: 'partial', doneBytes: 0 })
  })
})
