// Users, groups, certificates and time zones of a configuration: what is refused, and with which words.
import { expect, test } from 'vitest'
import { groupIdsOf, groupsOf, usersOf } from '../src/build/accounts.ts'
import type { ApplianceConfig } from '../src/config.ts'
import { validateAppliance } from '../src/config/load.ts'
import { stableUid } from '../src/config/users.ts'

const tool = { name: 'tool', command: ['/bin/tool'] }

function mistakes(config: object): string[] {
  try {
    validateAppliance({ name: 'a', services: [tool], ...config }, '/', 'c.ts')
    return []
  } catch (error) {
    return (error as Error).message.split('\n').map((line) => line.replace(/^c\.ts: /, ''))
  }
}

test('validateAppliance() takes users, groups, certificates and a time zone', () => {
  const config = {
    users: [{ name: 'keeper', uid: 1000, groups: ['readers', 'tool'], home: '/var/lib/keeper' }],
    groups: [{ name: 'readers' }],
    folders: [{ path: '/var/lib/keeper', user: 'keeper' }],
    certificates: { debian: true },
    timeZone: 'America/Argentina/Buenos_Aires',
    profile: 'pc',
  }
  expect(mistakes(config)).toEqual([])
})

test('validateAppliance() refuses users and groups that are there already, and numbers that are taken', () => {
  const config = {
    users: [
      { name: 'one', uid: 1000 },
      { name: 'one', uid: 1001 },
      { name: 'two', uid: 1000 },
      { name: 'root' },
    ],
    groups: [{ name: 'readers' }, { name: 'readers' }, { name: 'tool' }],
    services: [tool, { ...tool, name: 'other', user: 'one', uid: 7 }],
  }
  expect(mistakes(config)).toEqual([
    'users[1].name: expected a name of its own, got "one", as users[0] has',
    'users[2].uid: expected a user id of its own, got 1000, which users[0] (user one) has; set uid to another number',
    'users[3]: expected another user than root, which is always there',
    'services[1].uid: expected uid 1000 for user one, as users[0] has, got 7',
    'groups[1].name: expected a name of its own, got "readers", as another group has',
    'groups[2].name: expected a name of its own, got "tool", as a user has, whose group it is',
  ])
})

test('validateAppliance() refuses groups that nobody has declared, with what was meant', () => {
  const config = {
    groups: [{ name: 'readers' }],
    users: [{ name: 'keeper', groups: ['reader'] }],
    services: [{ ...tool, groups: ['audio', 29] }],
    folders: [{ path: '/var/x', user: 'keper' }],
  }
  expect(mistakes(config)).toEqual([
    'users[0].groups[0]: expected the name of a group of groups, or of a user, got "reader"; did you mean "readers"?',
    'services[0].groups[0]: expected the name of a group of groups, or of a user, got "audio"',
    'folders[0].user: expected root, one of users, or the user of a service, got "keper"; did you mean "keeper"?',
  ])
})

test('validateAppliance() refuses certificates and time zones that cannot be', () => {
  expect(mistakes({ certificates: { debian: false }, timeZone: '../etc', profile: 'clowd' })).toEqual([
    'profile: expected "virtio" or "cloud" or "pc" or "all", got "clowd"; did you mean "cloud"?',
    'timeZone: expected the name of a time zone, got "../etc"',
    'certificates: expected files where debian is false, got none: then leave certificates out',
  ])
  expect(mistakes({ certificates: { files: ['none.pem'] } })).toEqual([
    'certificates.files[0]: expected a file, got "none.pem", which does not exist',
  ])
})

test('a service runs as the user that is declared, with the groups of both', () => {
  const config: ApplianceConfig = {
    name: 'a',
    users: [{ name: 'keeper', uid: 1000, groups: ['readers'] }],
    groups: [{ name: 'readers', gid: 2000 }],
    services: [
      { ...tool, user: 'keeper', groups: ['writers', 29] },
      { ...tool, name: 'writers' },
    ],
  }
  const writers = stableUid('writers')
  expect(usersOf(config)).toEqual([
    { name: 'keeper', uid: 1000, home: '/' },
    { name: 'writers', uid: writers, home: '/' },
  ])
  expect(groupsOf(config)).toEqual([
    { name: 'keeper', gid: 1000, members: [] },
    { name: 'readers', gid: 2000, members: ['keeper'] },
    { name: 'writers', gid: writers, members: ['keeper'] },
  ])
  expect(config.services.map((service) => groupIdsOf(service, config))).toEqual([[writers, 29, 2000], []])
})
