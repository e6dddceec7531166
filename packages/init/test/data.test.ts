import { expect, test } from 'vitest'
import { decide, type DataRecord, type DataVersion } from '../src/data/decide.ts'
import { dropUnwanted } from '../src/data/prepare.ts'
import { PlanError, validatePlan } from '@pkg/init/plan'
import { PowerCut, type Disk } from './data/disk.ts'
import { Machine, releases } from './data/machine.ts'

const only = (version: number, readableBy = version): DataVersion => ({ version, readableBy })
const recorded = (version: DataVersion, more: Partial<DataRecord> = {}): DataRecord => {
  return { ...version, unfinished: null, restoring: null, ...more }
}
const [v1, v2, v3] = releases

test.each([
  [
    'records the version of the code where nothing is there',
    only(3),
    null,
    [],
    { do: 'record', version: only(3) },
  ],
  ['starts on data of the same version', only(2), recorded(only(2)), [], { do: 'start' }],
  [
    'records what a release says anew about who can read its data',
    only(2, 1),
    recorded(only(2)),
    [],
    { do: 'record', version: only(2, 1) },
  ],
  ['migrates with a snapshot', only(2), recorded(only(1)), [], { do: 'migrate', withSnapshot: true }],
  [
    'migrates without one what the older can read',
    only(2, 1),
    recorded(only(1)),
    [],
    { do: 'migrate', withSnapshot: false },
  ],
  [
    'migrates with one over two versions',
    only(3, 2),
    recorded(only(1)),
    [],
    { do: 'migrate', withSnapshot: true },
  ],
  ['starts on newer data that it can read', only(1), recorded(only(2, 1)), [], { do: 'start' }],
  [
    'puts back the newest snapshot that it can use',
    only(3),
    recorded(only(5)),
    [only(1), only(4, 3), only(4, 4)],
    { do: 'restore', snapshot: only(4, 3) },
  ],
  [
    'puts back an older one too',
    only(3),
    recorded(only(5)),
    [only(1), only(4)],
    { do: 'restore', snapshot: only(1) },
  ],
  [
    'goes on with what was being put back, whatever code runs',
    only(2),
    recorded(only(2), { restoring: only(1) }),
    [],
    { do: 'restore', snapshot: only(1) },
  ],
  [
    'puts back the snapshot of a migration that was not finished',
    only(2),
    recorded(only(1), { unfinished: only(2) }),
    [only(1)],
    { do: 'restore', snapshot: only(1) },
  ],
  [
    'begins a migration without a snapshot again',
    only(2, 1),
    recorded(only(1), { unfinished: only(2, 1) }),
    [],
    { do: 'migrate', withSnapshot: false },
  ],
  [
    'starts the older code on a half of what it can read',
    only(1),
    recorded(only(1), { unfinished: only(2, 1) }),
    [],
    { do: 'start' },
  ],
] as const)('decide() %s', (_name, code, record, snapshots, decision) => {
  expect(decide({ code, record, hasFiles: false, snapshots })).toEqual(decision)
})

test('decide() takes files that nobody has ever said a version of for version 1', () => {
  expect(decide({ code: only(2), record: null, hasFiles: true, snapshots: [] })).toEqual({
    do: 'record',
    version: only(1),
  })
})

test.each([
  [
    recorded(only(2)),
    'its data are of version 2, which code for version 1 cannot read, and there is no snapshot',
  ],
  [recorded(only(1), { unfinished: only(2) }), 'and the snapshot of version 1 is gone'],
  [recorded(only(3, 2), { unfinished: only(4, 2) }), 'and a migration to it was begun'],
])('decide() refuses data that it cannot read and cannot put back: %o', (record, reason) => {
  const decision = decide({ code: only(1), record, hasFiles: true, snapshots: [] })
  expect(decision).toEqual({ do: 'refuse', reason: expect.stringContaining(reason) })
})

test('a service whose data cannot be read is withheld, and all that was there stays', async () => {
  const machine = new Machine()
  expect(await machine.boot(v2)).toBe('started')
  const before = new Map(machine.disk.nodes)
  expect(await machine.boot(v1)).toEqual({
    withheld: expect.stringContaining('its data are of version 2, which code for version 1 cannot read'),
  })
  expect(machine.disk.nodes).toEqual(before)
})

test('a migration without room for a snapshot changes nothing, and says how much is missing', async () => {
  const machine = new Machine()
  await machine.boot(v1)
  const before = [...machine.disk.nodes.keys()]
  machine.disk.freeBytes = 8 * 1024 * 1024
  expect(await machine.boot(v2)).toEqual({
    withheld:
      'no snapshot of its data can be made: expected 8.0 MiB of room, found 8.0 MiB; make room, or declare readableBy',
  })
  const made = ['/var/lib/solo/snapshots', '/var/lib/solo/snapshots/web']
  expect(new Set(machine.disk.nodes.keys())).toEqual(new Set([...before, ...made]))
  expect(await machine.boot(v1)).toBe('started')
})

test('a full disk keeps no service from starting on data that need nothing but a note of their version', async () => {
  const machine = new Machine()
  machine.disk.makeFolder('/var/lib/web')
  machine.disk.makeFolder('/var/lib/web-index')
  machine.disk.isFull = true
  expect(await machine.boot(v1)).toBe('started')
  // Its files would be taken for those of version 1 at the next start.
  expect(await machine.boot(v2)).toEqual({ withheld: expect.stringContaining('ENOSPC') })
  machine.disk.isFull = false
  expect(await machine.boot(v1)).toBe('started')
  expect(await machine.boot(v2)).toBe('started')
})

test('a hook that fails leaves data that both releases can still get back', async () => {
  const machine = new Machine()
  await machine.boot(v1)
  machine.hookFailsAfter = 1
  expect(await machine.boot(v2)).toEqual({ withheld: 'the hook has failed' })
  expect(await machine.fork().boot(v1)).toBe('started')
  expect(await machine.fork().boot(v2)).toBe('started')
})

test('what a newer release has written is set aside on the way back, one such only', async () => {
  const machine = new Machine()
  await machine.boot(v1)
  await machine.boot(v2)
  await machine.boot(v1)
  expect(machine.disk.read('/var/lib/solo/snapshots/web/set-aside-from-2/0/3')).toBe('2:3')
  await machine.boot(v3)
  await machine.boot(v1)
  const names = machine.disk.namesIn('/var/lib/solo/snapshots/web')
  expect(names).toEqual(['set-aside-from-3'])
})

test('what was set aside gives way where a snapshot needs its room', async () => {
  const machine = new Machine()
  await machine.boot(v1)
  await machine.boot(v2)
  await machine.boot(v1)
  machine.disk.freeBytes = 0
  expect(await machine.boot(v2)).toEqual({ withheld: expect.stringContaining('no snapshot') })
  expect(machine.disk.namesIn('/var/lib/solo/snapshots/web')).toEqual([])
})

/** Has a blessed release, of this version of data, drop what it does not want to keep. */
async function drop(disk: Disk, version: number, keepSnapshot: boolean): Promise<string[]> {
  const data = { version, keepSnapshot, folders: ['/var/lib/web'] }
  const { services } = validatePlan({
    version: 1,
    services: [{ name: 'web', command: ['/bin/web'], uid: 1, gid: 1, data }],
  })
  return await dropUnwanted({ services, stateFolder: '/var/lib/solo', files: disk })
}

test('dropUnwanted() removes a snapshot that is wanted until the blessing only, but none that is needed', async () => {
  const machine = new Machine()
  await machine.boot(v1)
  await machine.boot(v2)
  const { disk } = machine
  expect(await drop(disk, 2, true)).toEqual([])
  expect(await drop(disk, 1, false)).toEqual([])
  expect(disk.namesIn('/var/lib/solo/snapshots/web')).toEqual(['1'])
  expect(await drop(disk, 2, false)).toEqual(['web'])
  expect(disk.namesIn('/var/lib/solo/snapshots/web')).toEqual([])
})

test('dropUnwanted() leaves a whole snapshot or none, whenever the power is cut', async () => {
  const machine = new Machine()
  await machine.boot(v1)
  await machine.boot(v2)
  const inSnapshot = ({ nodes }: Disk): string[] => {
    return [...nodes.keys()].filter((path) => path.startsWith('/var/lib/solo/snapshots/web/1/'))
  }
  const whole = inSnapshot(machine.disk)
  expect(whole.length).toBeGreaterThan(4)
  for (let steps = 0; ; steps++) {
    const { disk } = machine.fork()
    disk.stepsLeft = steps
    const end = await drop(disk, 2, false).catch((error: unknown) => error)
    if (disk.nodes.has('/var/lib/solo/snapshots/web/1')) expect(inSnapshot(disk)).toEqual(whole)
    else expect(inSnapshot(disk)).toEqual([])
    if (!(end instanceof PowerCut)) break
  }
})

test('a damaged record is not guessed at', async () => {
  const machine = new Machine()
  await machine.boot(v1)
  machine.disk.write('/var/lib/solo/data/web.json', '{ "version": 1 }')
  expect(await machine.boot(v2)).toEqual({
    withheld: expect.stringMatching(
      /^\/var\/lib\/solo\/data\/web\.json: damaged: readableBy: expected a whole number/,
    ),
  })
})

test('validatePlan() reports each mistake in what a service says of its data', () => {
  const service = { command: ['/bin/web'], uid: 1, gid: 1 }
  const data = {
    version: 2,
    readableBy: 3,
    folders: ['/var/lib/solo/data'],
    migrate: { command: ['migrate'] },
  }
  const plan = {
    version: 1,
    services: [
      { ...service, name: 'a', data },
      {
        ...service,
        name: 'b',
        data: { version: 1, folders: ['/var/lib/b', '/var/lib/b/c', '/var/lib', '/etc'] },
      },
      { ...service, name: 'c', data: { version: 1, folders: [] } },
    ],
  }
  const problems = ((): string[] => {
    try {
      validatePlan(plan)
      return []
    } catch (error) {
      return error instanceof PlanError
        ? error.problems.map(({ path, expected }) => `${path}: ${expected}`)
        : []
    }
  })()
  expect(problems).toEqual([
    'services[0].data.folders[0]: a folder below /var, but not /var/lib/solo, without NUL',
    'services[0].data.readableBy: a whole number from 1 to 2',
    'services[0].data.migrate.command[0]: the absolute path of a program',
    'services[1].data.folders[2]: a folder below /var, but not /var/lib/solo, without NUL',
    'services[1].data.folders[3]: a folder below /var, but not /var/lib/solo, without NUL',
    'services[2].data.folders: at least one folder',
    'services[1].data.folders[1]: a folder apart from /var/lib/b',
  ])
})
