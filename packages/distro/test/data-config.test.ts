// `data` of services in solo.config.ts: mistakes as users see them, and what PID 1 is told.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { makePlan } from '../src/build/plan.ts'
import type { ApplianceConfig, DataConfig } from '../src/config.ts'
import { validateAppliance } from '../src/config/load.ts'
import { ConfigError } from '../src/error.ts'
import { testFolder } from './support/folder.ts'

const folder = testFolder()
for (const name of ['server.ts', 'migrate.ts']) writeFileSync(join(folder.path, name), '')

afterAll(() => folder[Symbol.dispose]())

const right: DataConfig = {
  version: 3,
  readableBy: 2,
  folders: ['/var/lib/web'],
  migrate: { entry: 'migrate.ts' },
}

function applianceWith(...data: object[]): ApplianceConfig {
  return {
    name: 'kiosk',
    folders: [{ path: '/var/lib/web', user: 'web' }],
    services: data.map((each, index) => {
      return { name: index === 0 ? 'web' : `web${index}`, entry: 'server.ts', data: { ...right, ...each } }
    }),
  }
}

/** What is wrong, without the file's name; empty when nothing is. */
function mistakes(...data: object[]): string[] {
  try {
    validateAppliance(applianceWith(...data), folder.path, 'solo.config.ts')
    return []
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    return error.message.split('\n').map((line) => line.replace('solo.config.ts: services', ''))
  }
}

test.each([
  [{}, []],
  [{ version: 0, readableBy: undefined }, ['[0].data.version: expected a version']],
  [{ readableBy: 4 }, ['[0].data.readableBy: expected at most version (3), got 4']],
  [{ folders: [] }, ['[0].data.folders: expected at least one folder, got none']],
  [{ folders: ['/srv/web'] }, ['[0].data.folders[0]: expected a path below /var']],
  [
    { folders: ['/var/lib/wbe'] },
    ['[0].data.folders[0]: expected one of folders, or one below, got "/var/lib/wbe"'],
  ],
  [{ folders: ['/var/lib/web/../solo'] }, ['[0].data.folders[0]: expected a path without //, . and ..']],
  [{ folders: ['/var/lib/solo/x'] }, ["[0].data.folders[0]: expected a folder that is not Solo's own"]],
  [
    { folders: ['/var/lib/web/a', '/var/lib/web/a/b'] },
    ['[0].data.folders[1]: expected a folder apart from services[0].data.folders[0]'],
  ],
  [{ migrate: {} }, ['[0].data.migrate: expected one of entry and command, got neither']],
  [
    { migrate: { entry: 'no.ts', command: ['migrate'] } },
    [
      '[0].data.migrate: expected one of entry and command, got both',
      '[0].data.migrate.entry: expected a file',
      '[0].data.migrate.command[0]: expected the absolute path of a program in the image, got "migrate"',
    ],
  ],
])('validateAppliance() says what is wrong with data: %j', (data, expected) => {
  const found = mistakes(data)
  expect(found).toHaveLength(expected.length)
  for (const [index, line] of expected.entries()) expect(found[index]).toContain(line)
})

test('validateAppliance() wants the folders of two services apart', () => {
  expect(mistakes({}, {})).toEqual([
    expect.stringContaining('[1].data.folders[0]: expected a folder apart from'),
  ])
})

test('makePlan() tells PID 1 where the bundled migration is', () => {
  const dataOf = (data: object): unknown => makePlan(applianceWith(data), 'disk').services[0]?.data
  expect(dataOf({})).toEqual({
    ...{ version: 3, readableBy: 2, folders: ['/var/lib/web'], keepSnapshot: true },
    migrate: { command: ['/bin/bun', '/usr/lib/solo/web/migrate/index.js'], timeoutMs: 300_000 },
  })
  expect(dataOf({ migrate: { command: ['/bin/migrate', '--all'], timeoutMs: 1000 } })).toMatchObject({
    migrate: { command: ['/bin/migrate', '--all'], timeoutMs: 1000 },
  })
  expect(dataOf({ migrate: undefined, readableBy: undefined })).toMatchObject({
    migrate: null,
    readableBy: 3,
  })
})

test('beforeUpdate is checked and told in the same way, and has 20 seconds at most', () => {
  const told = (beforeUpdate: object): unknown => {
    const [service] = applianceWith({}).services
    const services = [{ ...service, beforeUpdate }]
    const appliance = { ...applianceWith({}), services } as ApplianceConfig
    validateAppliance(appliance, folder.path, 'solo.config.ts')
    return makePlan(appliance, 'disk').services[0]?.beforeUpdate
  }
  expect(told({ entry: 'migrate.ts', timeoutMs: 20_000 })).toEqual({
    ...{ command: ['/bin/bun', '/usr/lib/solo/web/before-update/index.js'], timeoutMs: 20_000 },
  })
  expect(() => told({ command: ['x'], timeoutMs: 20_001 })).toThrow(
    /beforeUpdate.timeoutMs: expected milliseconds[^]*beforeUpdate.command\[0\]: expected the absolute path/,
  )
})
