import { expect, test } from 'vitest'
import type { PackageRecord } from '@pkg/vm/archive'
import { needed } from '../src/packages/resolve.ts'
import { isWanted } from '../src/packages/unpack.ts'

function record(name: string, ...dependencies: string[]): PackageRecord {
  const groups = dependencies.map((group) => group.split('|').map((each) => ({ name: each })))
  return { name, version: '1', architecture: 'amd64', sizeBytes: 1, sha256: 'x', dependencies: groups }
}

const solved = [
  record('libc6'),
  record('libssl3', 'libc6'),
  record('debconf'),
  record('only-of-debconf'),
  record('tools', 'libssl3', 'absent|libjemalloc2'),
  record('libjemalloc2'),
  record('server', 'tools', 'debconf', 'adduser'),
  record('adduser', 'only-of-debconf'),
]

test('needed() keeps what the named packages need, in the order of apt, and nothing for scripts and people', () => {
  const names = needed(solved, ['server']).map(({ name }) => name)
  expect(names).toEqual(['libssl3', 'tools', 'libjemalloc2', 'server'])
})

test('needed() keeps the library of what is left out: programs are linked with it', () => {
  const sshd = [
    record('libpam0g'),
    record('libpam-runtime', 'libpam0g'),
    record('sshd', 'libpam-runtime', 'libpam0g'),
  ]
  expect(needed(sshd, ['sshd']).map(({ name }) => name)).toEqual(['libpam0g', 'sshd'])
})

test('needed() keeps what is named, whatever it is', () => {
  const names = needed(solved, ['server', 'adduser']).map(({ name }) => name)
  expect(names).toEqual(['libssl3', 'only-of-debconf', 'tools', 'libjemalloc2', 'server', 'adduser'])
})

test.each([
  ['usr/bin/redis-server', true],
  ['etc/redis/redis.conf', true],
  ['usr/share/zoneinfo/Europe/Berlin', true],
  ['usr/share/doc/redis/copyright', false],
  ['usr/share/locale/de/LC_MESSAGES/x.mo', false],
  ['etc/init.d/redis-server', false],
  ['lib/systemd/system/redis-server.service', false],
  ['usr/lib/systemd/system/x.service', false],
  ['var/run/redis', false],
  ['run', false],
  ['var/lib/redis', false],
  ['usr/share/variety', true],
])('isWanted(%j) is %j', (path, expected) => {
  expect(isWanted(path)).toBe(expected)
})
