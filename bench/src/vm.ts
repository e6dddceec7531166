// vm: what a guest costs from `boot` to its end, with one function run in it. Each kind is measured once in every
// round, so that what disturbs the machine disturbs all of them: what counts is their ratio to a cold boot.
import { boot, type BootOptions } from '@pkg/vm/boot'
import { type Limits, type Row, rowOf } from './report.ts'
import { median } from './statistics.ts'

/** A kind of guest. */
interface Guest {
  name: string
  options: BootOptions
  /** What its median may be, in seconds: what issue 3 asks for. */
  limits?: Limits
}

const cold: Guest = { name: 'q35, booted', options: { backend: 'qemu', accelerator: 'tcg' } }
const restored: Guest = {
  name: 'q35, restored',
  options: { ...cold.options, snapshot: true },
  limits: { limit: 0.4 },
}
const others: readonly Guest[] = [
  restored,
  { name: 'microvm, booted', options: { ...cold.options, machine: 'microvm' } },
  { name: 'UML, booted', options: { backend: 'uml' }, limits: { limit: 2.5 } },
  { name: 'namespaces', options: { backend: 'namespace' }, limits: { limit: 0.1 } },
]

/** How many tests a test file may well have, each in a guest of its own, and what they may take together, in seconds. */
const manyTests = 100
const manyLimit = 60

/** Boots a guest, asks for its kernel's release, and cuts its power: nanoseconds, QEMU's start and end included. */
async function measureGuest({ options }: Guest): Promise<number> {
  const start = performance.now()
  await using vm = await boot({ ...options, timeoutMs: 120_000 })
  const release = await vm.run(async () => (await import('node:os')).release())
  if (!/^\d+\.\d+/.test(release)) throw new Error(`uname gave ${release}`)
  await vm.kill()
  return (performance.now() - start) * 1e6
}

/** Measures all kinds; one that cannot be had is missing. */
export async function measureVm(rounds: number, say: (line: string) => void): Promise<Row[]> {
  const results = new Map<Guest, number[]>()
  const guests = [cold, ...others]
  for (const guest of guests) {
    say(`bench: vm: warming up: ${guest.name}`)
    try {
      // The first of a kind fetches kernels, makes images and saves the machine.
      await measureGuest(guest)
      results.set(guest, [])
    } catch (error) {
      say(`bench: missing: ${guest.name}: ${error instanceof Error ? error.message : String(error)}`)
    }
  }
  for (let round = 0; round < rounds; round++) {
    say(`bench: vm: round ${round + 1} of ${rounds}`)
    for (let turn = 0; turn < guests.length; turn++) {
      const guest = guests[(round + turn) % guests.length]
      if (guest !== undefined) results.get(guest)?.push(await measureGuest(guest))
    }
  }
  const name = 'boot, uname, end'
  const booted = results.get(cold)
  const rows = others.map((guest) =>
    rowOf(`${name}: ${guest.name}`, cold.name, 's', results.get(guest), booted, guest.limits),
  )
  return booted === undefined || !results.has(restored) ? rows : [...rows, await measureMany(booted, say)]
}

/** A hundred tests one after the other, against as many cold boots by their median. */
async function measureMany(booted: readonly number[], say: (line: string) => void): Promise<Row> {
  say(`bench: vm: ${manyTests} restored guests`)
  const start = performance.now()
  for (let count = 0; count < manyTests; count++) await measureGuest(restored)
  const total = (performance.now() - start) * 1e6
  const name = `${manyTests} tests, each in its own: ${restored.name}`
  return rowOf(name, `${cold.name}, × ${manyTests}`, 's', [total], [manyTests * median(booted)], {
    limit: manyLimit,
  })
}
