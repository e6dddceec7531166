import { describe, expect, test } from 'vitest'
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
  ukiOf,
} from './support/installation.ts'
import { afterPowerCut, type Fate, problemsOf } from './support/judge.ts'
import { MemorySource } from './support/memory-source.ts'
import { sampleRelease, text } from './support/sample-release.ts'
import { type DiskContent, PowerCut, SimulatedMachine, type Step } from './support/simulated-machine.ts'

describe('installRelease() and a power cut', () => {
  const world = { running: one, runningEntry, releases: [one, two] }
  const cases: [string, DiskContent][] = [
    ['an empty slot', diskWith()],
    ['a slot with the release that runs', diskWith(one)],
    ['a slot with the release that comes', diskWith(two)],
  ]
  const worn: DiskContent = { ...diskWith(), unreadable: new Set([0, 5, 500, 501]) }
  const places: typeof cases = [...cases, ['a slot with blocks that cannot be read', worn]]

  test.each(places)('over %s: each state boots a whole slot, and no root is half', async (_, before) => {
    const machine = new SimulatedMachine(before)
    await install({ release: two, machine, running: partitionOf(one) })
    for (let steps = 0; steps <= machine.log.length; steps++) {
      expect(problemsOf(afterPowerCut(before, machine.log, steps), world), `step ${steps}`).toEqual([])
      for (let seed = 1; seed <= 6; seed++) {
        const next = random(seed * 7919 + steps)
        const chance = next()
        const disk = afterPowerCut(before, machine.log, steps, () => next() < chance)
        expect(problemsOf(disk, world), `step ${steps}, seed ${seed}`).toEqual([])
      }
    }
  })

  test.each(cases)('over %s: also of what was on its way when blocks of it are lost', async (_, before) => {
    const machine = new SimulatedMachine(before)
    const running = partitionOf(one)
    await install({ release: two, machine, running })
    let cutsWithLoss = 0
    for (let steps = 1; steps <= machine.log.length; steps++) {
      for (let seed = 1; seed <= 2; seed++) {
        const next = random(seed * 104_729 + steps)
        const chance = next() / 16
        const fate = (): Fate => (next() < chance ? 'unreadable' : next() < 0.5)
        const disk = afterPowerCut(before, machine.log, steps, fate)
        const what = `step ${steps}, seed ${seed}`
        expect(problemsOf(disk, world), what).toEqual([])
        if (disk.unreadable.size + disk.damaged.size === 0) continue
        cutsWithLoss++
        const again = new SimulatedMachine(disk)
        await install({ release: two, machine: again, running })
        expectInstalled(again, two)
        expect([...again.content.unreadable, ...again.damaged], what).toEqual([])
      }
    }
    expect(cutsWithLoss).toBeGreaterThan(0)
  })

  test('the judge sees what a wrong order leaves', async () => {
    const before = diskWith(one)
    const machine = new SimulatedMachine(before)
    await install({ release: two, machine })
    const isFirst = (step: Step): boolean => step.kind === 'write' && step.offset === 0
    const wrong = machine.log.filter((step) => !isFirst(step))
    const states = wrong.map((__, steps) => problemsOf(afterPowerCut(before, wrong, steps), world))
    expect(states.flat()).toContain('half of root 1')
    // As if the file had its final name all the time.
    const renamed = machine.log.flatMap((step): Step[] => {
      if (step.kind === 'rename') return step.to === newEntry ? [] : [{ ...step, to: newEntry }]
      return ['name' in step ? { ...step, name: newEntry } : step]
    })
    const written = renamed.map((__, steps) => {
      const next = random(steps + 1)
      return problemsOf(
        afterPowerCut(before, renamed, steps, () => next() < 0.5),
        world,
      )
    })
    expect(written.flat()).toContain("solob+3-0.efi is no release's")
  })

  test('at each step: the next try ends the work and fetches only what is missing', async () => {
    const whole = new SimulatedMachine(diskWith())
    const { fetchedBytes } = await install({ release: two, machine: whole, running: partitionOf(one) })
    for (let steps = 0; steps < whole.log.length; steps++) {
      const machine = new SimulatedMachine(diskWith())
      machine.stepsMax = steps
      const first = new MemorySource(two.blobs)
      const running = partitionOf(one)
      await expect(install({ release: two, machine, source: first, running })).rejects.toThrow(PowerCut)
      machine.stepsMax = Infinity
      const second = await install({ release: two, machine, running })
      expectInstalled(machine, two)
      // What was under way, the first block, and the kernel's tree may come twice.
      expect(second.fetchedBytes).toBeLessThanOrEqual(fetchedBytes)
    }
  })

  test('after most of a full load: the next try asks for the rest', async () => {
    // Of several frames.
    const large = await sampleRelease(2, { '/bin/bun': text('large', 14_000_000) }, ukiOf(2))
    const empty: DiskContent = { ...diskWith(), root: new Uint8Array(16 * 1024 * 1024) }
    const machine = new SimulatedMachine(empty)
    const all = new MemorySource(large.blobs)
    const { fetchedBytes } = await install({
      release: large,
      machine: new SimulatedMachine(empty),
      source: all,
    })
    const source = new MemorySource(large.blobs)
    const dying: BlobSource = {
      open(digest, offset, length) {
        if (source.asked.length === all.asked.length - 1) throw new SourceError('gone')
        return source.open(digest, offset, length)
      },
    }
    await expect(install({ release: large, machine, source: dying })).rejects.toThrow('gone')
    const taken = source.asked.reduce((sum, { length }) => sum + length, 0)
    expect(taken).toBeGreaterThan(fetchedBytes / 3)
    const rest = await install({ release: large, machine })
    expectInstalled(machine, large)
    expect(rest.fetchedBytes + taken).toBeLessThan(fetchedBytes + 100_000)
  })

  test('within a rename on the boot partition, which left two names: both go, and a file of its own is made', async () => {
    const disk = diskWith(one)
    disk.files.set('solo-b.new', one.uki)
    const machine = new SimulatedMachine(disk)
    await install({ release: two, machine, running: partitionOf(one) })
    expectInstalled(machine, two)
    const kinds = machine.log.map((step) => (step.kind === 'remove' ? `remove ${step.name}` : step.kind))
    expect(kinds.slice(0, 3)).toEqual(['remove solo-b.new', 'remove solob+2-1.efi', 'sync'])
  })

  test.each(['solo-b.new', 'solob+2-1.efi'])(
    'within a change of size, which left %s longer than its clusters: it goes, and a new file is made',
    async (name) => {
      const disk = diskWith()
      disk.files.set(name, one.uki)
      const machine = new SimulatedMachine(disk)
      machine.damaged.add(name)
      await install({ release: two, machine, running: partitionOf(one) })
      expectInstalled(machine, two)
      expect(machine.log[0]).toEqual({ kind: 'remove', name })
    },
  )
})
