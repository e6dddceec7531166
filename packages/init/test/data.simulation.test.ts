/**
 * Data of services through updates and ways back, with power cuts at every step: exhaustively for short lives, by seed
 * for long ones. To replay a failure: SOLO_SEED=<seed>; to search longer: SOLO_RUNS=<number of seeds>.
 */
import { expect, test } from 'vitest'
import { Machine, releases, type Release } from './data/machine.ts'
import { randomFrom } from './simulation/random.ts'

/** Each pair of an older and a newer release. */
const pairs = releases.flatMap((older, index) =>
  releases.slice(index + 1).map((newer) => [older, newer] as const),
)

/** A life so far: each boot by its release. */
async function lived(...boots: readonly Release[]): Promise<Machine> {
  const machine = new Machine()
  for (const release of boots) expect(await machine.boot(release)).toBe('started')
  return machine
}

/** Boots a copy of the machine with the power cut at every step; each machine that is left. */
async function* cutAtEveryStep(machine: Machine, release: Release): AsyncGenerator<Machine> {
  for (let steps = 0; ; steps++) {
    const fork = machine.fork()
    const end = await fork.boot(release, steps)
    if (end === 'started') return
    expect(end, `${steps} steps`).toBe('power-cut')
    yield fork
  }
}

async function expectBothStart(machine: Machine, [older, newer]: readonly [Release, Release]): Promise<void> {
  for (const release of [older, newer]) {
    const fork = machine.fork()
    expect(await fork.boot(release), `version ${release.version} on ${[...fork.disk.nodes].join(' ')}`).toBe(
      'started',
    )
  }
}

test.each(pairs)(
  'after a power cut at any two steps of an update both releases can work: %o → %o',
  async (...pair) => {
    const [older, newer] = pair
    let states = 0
    for await (const once of cutAtEveryStep(await lived(older, older), newer)) {
      await expectBothStart(once, pair)
      for (const next of pair) {
        for await (const twice of cutAtEveryStep(once, next)) {
          states += 1
          await expectBothStart(twice, pair)
        }
      }
    }
    expect(states).toBeGreaterThan(50)
  },
)

test.each(pairs)(
  'after a power cut at any two steps of a way back both releases can work: %o ← %o',
  async (...pair) => {
    const [older, newer] = pair
    const machine = await lived(older, newer, older, newer)
    for await (const once of cutAtEveryStep(machine, older)) {
      await expectBothStart(once, pair)
      for (const next of pair) {
        for await (const twice of cutAtEveryStep(once, next)) await expectBothStart(twice, pair)
      }
    }
  },
)

test('long lives lose no file but what was set aside before what is set aside now', async () => {
  const only = process.env['SOLO_SEED']
  const runs = Number(process.env['SOLO_RUNS'] ?? 150)
  const seeds = only === undefined ? Array.from({ length: runs }, (_, index) => index) : [Number(only)]
  for (const seed of seeds) await live(seed).catch((error: unknown) => Promise.reject(told(seed, error)))
})

function told(seed: number, error: unknown): Error {
  return new Error(`SOLO_SEED=${seed}: ${error instanceof Error ? error.message : String(error)}`, {
    cause: error,
  })
}

/** Slots hold two releases; a newer one comes when the newer of them works. */
async function live(seed: number): Promise<void> {
  const random = randomFrom(seed)
  const machine = new Machine()
  let [older, newer] = [0, 0]
  for (let boots = 0; boots < 40; boots++) {
    const runs = random.chance(0.7) ? newer : older
    const release = releases[runs]
    if (release === undefined) throw new RangeError(`no release ${runs}`)
    machine.hookFailsAfter = random.chance(0.2) ? random.below(6) : undefined
    machine.disk.freeBytes = random.chance(0.2) ? random.below(40) * 4096 + 8 * 1024 * 1024 : Infinity
    const end = await machine.boot(release, random.chance(0.5) ? random.below(60) : undefined)
    if (typeof end === 'object') {
      expect(end.withheld).toMatch(/the hook has failed|no snapshot of its data can be made/)
    }
    if (end === 'started' && runs === newer && newer + 1 < releases.length && random.chance(0.4)) {
      older = newer
      newer += 1
    }
  }
}
