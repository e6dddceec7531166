// `updates` and `agent` in solo.config.ts: mistakes as users see them, and what an image gets of it.
import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseReleaseIdentity } from '@pkg/init/boot-state'
import { readTrust } from '@pkg/update/trust'
import { afterAll, describe, expect, test } from 'vitest'
import { agentGid, withOwnServices } from '../src/build/own-services.ts'
import { makePlan } from '../src/build/plan.ts'
import { releaseIdentity, updateFiles } from '../src/build/update-files.ts'
import type { ApplianceConfig } from '../src/config.ts'
import { validateAppliance } from '../src/config/load.ts'
import { ConfigError } from '../src/error.ts'
import { testFolder } from './support/folder.ts'

const folder = testFolder()
const [first, second] = ['first', 'second'].map((name) => {
  execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', name, '-f', join(folder.path, name)])
  return readFileSync(join(folder.path, `${name}.pub`), 'utf8').trim()
}) as [string, string]
writeFileSync(join(folder.path, 'server.ts'), '')

afterAll(() => folder[Symbol.dispose]())

const config: ApplianceConfig = {
  name: 'kiosk',
  version: '1.4',
  release: 7,
  services: [{ name: 'web', entry: './server.ts', ports: [8080] }],
  agent: { keys: ['first.pub', { key: second, role: 'observe' }] },
  updates: {
    board: 'pc',
    release: { keys: [first, second], threshold: 2 },
    trust: { keys: ['second.pub'] },
    channel: { keys: [first], url: 'oci://registry.example/kiosk' },
    gate: { stableMs: 2000, confirm: true, probes: [{ http: { port: 8080 } }] },
  },
}

/** The lines that a configuration gives; none when it is right. */
function mistakes(changes: object): string[] {
  try {
    validateAppliance({ ...config, ...changes }, folder.path, 'solo.config.ts')
    return []
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    return error.message.split('\n')
  }
}

describe('validateAppliance()', () => {
  test('takes keys as lines and as files', () => {
    expect(mistakes({})).toEqual([])
  })

  test('takes keys of the agent with a role, and names a role that is none', () => {
    expect(mistakes({ agent: { keys: ['first.pub', { key: second, role: 'observe' }] } })).toEqual([])
    expect(mistakes({ agent: { keys: [first, { key: 'second.pub', role: 'root' }] } })).toEqual([
      'solo.config.ts: agent.keys[1]: expected an SSH public key, the path of a .pub file, or { key, role } with a role of observe, update, admin, got an object',
    ])
    expect(mistakes({ agent: { keys: [{ key: 'missing.pub', role: 'admin' }] } })[0]).toMatch(
      /agent\.keys\[0\]: ENOENT.*missing\.pub/,
    )
    expect(mistakes({ agent: { keys: [first, { key: 'first.pub', role: 'observe' }] } })).toEqual([
      'solo.config.ts: agent.keys[1]: expected another key than agent.keys[0], got the same',
    ])
  })

  test('takes a week as the longest time between two looks at a channel', () => {
    const every = (pollMinutes: number): string[] =>
      mistakes({
        updates: {
          release: { keys: [first] },
          channel: { keys: [second], url: 'https://e.example/x', pollMinutes },
        },
      })
    expect(every(10_080)).toEqual([])
    expect(every(10_081)).toEqual([
      'solo.config.ts: updates.channel.pollMinutes: expected minutes, a whole number from 1 to 10080, got 10081',
    ])
  })

  test('names limits that are none', () => {
    const web = { name: 'web', entry: './server.ts' }
    expect(mistakes({ services: [{ ...web, limits: { memoryMaxMiB: 64, tasksMax: 40 } }] })).toEqual([])
    expect(mistakes({ services: [{ ...web, limits: { memoryMaxMiB: 0.5, tasks: 1 } }] })).toEqual([
      'solo.config.ts: services[0].limits.memoryMaxMiB: expected memory in MiB, a whole number from 1 to 1048576, got 0.5',
      'solo.config.ts: services[0].limits.tasks: unknown key, expected one of memoryMaxMiB, tasksMax',
    ])
  })

  test('names a key that is none, one that is there twice, and a threshold that cannot be reached', () => {
    expect(mistakes({ agent: { keys: ['ssh-rsa AAAA'] } })[0]).toMatch(
      /^solo\.config\.ts: agent\.keys\[0\]: /,
    )
    expect(mistakes({ agent: { keys: ['missing.pub'] } })[0]).toMatch(
      /agent\.keys\[0\]: ENOENT.*missing\.pub/,
    )
    expect(mistakes({ agent: { keys: [] } })).toEqual([
      'solo.config.ts: agent.keys: expected at least one key, got none',
    ])
    expect(mistakes({ updates: { release: { keys: [first, 'first.pub'] } } })).toEqual([
      'solo.config.ts: updates.release.keys[1]: expected another key than updates.release.keys[0], got the same',
    ])
    expect(mistakes({ updates: { release: { keys: [first], threshold: 2 } } })).toEqual([
      'solo.config.ts: updates.release.threshold: expected at most 1, the number of keys, got 2',
    ])
  })

  test('does not read a file that is not called .pub: a private key stays out of images', () => {
    expect(mistakes({ agent: { keys: ['first'] } })[0]).toMatch(/agent\.keys\[0\]: expected a public key/)
  })

  test('keeps names and the port of our services for them, and asks for an agent with updates', () => {
    const web = { name: 'web', entry: './server.ts' }
    expect(mistakes({ services: [{ ...web, name: 'agent' }] })).toEqual([
      'solo.config.ts: services[0].name: expected a name that is not reserved, got "agent"',
    ])
    expect(mistakes({ services: [{ ...web, ports: [8443] }] })).toEqual([
      "solo.config.ts: services[0].ports[0]: expected a port of its own, got 8443, which is the agent's",
    ])
    expect(mistakes({ services: [{ ...web, user: 'solo-agent' }] })).toEqual([
      'solo.config.ts: services[0].user: expected a user that is not reserved, got "solo-agent"',
    ])
    expect(mistakes({ services: [{ ...web, uid: agentGid, groups: [5, agentGid] }] })).toEqual([
      `solo.config.ts: services[0].uid: expected a user id other than the agent's, got ${agentGid}; set uid to another number`,
      `solo.config.ts: services[0].groups[1]: expected a group other than the agent's, got ${agentGid}`,
    ])
    const accounts = { users: [{ name: 'a', uid: agentGid }], groups: [{ name: 'solo-agent', gid: 7 }] }
    expect(mistakes(accounts)).toEqual([
      `solo.config.ts: users[0]: expected another number than ${agentGid}, which is the agent's`,
      'solo.config.ts: groups[0].name: expected a name that is not reserved, got "solo-agent"',
    ])
    expect(mistakes({ agent: undefined })).toEqual([
      'solo.config.ts: updates: expected agent with it, which brings the releases, got updates alone',
    ])
  })

  test('expects one way of asking in ready, health and the probes of the gate', () => {
    const web = { name: 'web', entry: './server.ts' }
    expect(
      mistakes({ services: [{ ...web, ready: {}, health: { tcp: { port: 1 }, command: ['true'] } }] }),
    ).toEqual([
      'solo.config.ts: services[0].ready: expected one of notify, tcp, http, command, got none',
      'solo.config.ts: services[0].health: expected one of tcp, http, command, got tcp and command',
      'solo.config.ts: services[0].health.command[0]: expected the absolute path of a program, got "true"',
    ])
    expect(mistakes({ updates: { release: { keys: [first] }, gate: { probes: [{}] } } })).toEqual([
      'solo.config.ts: updates.gate.probes[0]: expected one of tcp, http, command, got none',
    ])
  })
})

describe('an image that takes updates', () => {
  const loaded = { folder: folder.path, file: 'solo.config.ts', config }
  const complete = withOwnServices(loaded, 'disk')

  test('has an agent without privileges, and an updater with one capability', () => {
    const plan = makePlan(complete.config, 'disk')
    expect(plan.control.gid).toBe(agentGid)
    expect(plan.gate).toMatchObject({ stableMs: 2000, confirm: true, probes: [{ http: { port: 8080 } }] })
    const [web, updater, agent] = plan.services
    expect(web).toMatchObject({ name: 'web', ready: 'started', required: true })
    expect(updater?.command).toEqual([
      '/bin/bun',
      '/usr/lib/solo/updater/index.js',
      '--gid',
      String(agentGid),
    ])
    expect(updater).toMatchObject({
      name: 'updater',
      uid: 0,
      groups: [agentGid],
      capabilities: ['CAP_SYS_ADMIN'],
    })
    expect(agent).toMatchObject({ name: 'agent', uid: agentGid, groups: [], capabilities: null })
    expect(agent?.ready).toMatchObject({ tcp: { port: 8443 } })
    const [own] = plan.folders
    expect(own).toEqual({ path: '/var/lib/solo/agent', mode: 0o700, uid: agentGid, gid: agentGid })
  })

  test('says what release it is, and whom it believes', () => {
    const files = updateFiles(complete, releaseIdentity(config, 'x86_64', 1_796_000_000), 'disk')
    expect(parseReleaseIdentity(files.get('/etc/solo/release.json') ?? '', 'release.json')).toEqual({
      ...{ appliance: 'kiosk', version: '1.4', counter: 7, board: 'pc', architecture: 'x86_64' },
      created: '2026-11-30T00:53:20Z',
    })
    const trust = readTrust(files.get('/etc/solo/trust.json') ?? '')
    expect(trust).toMatchObject({ version: 1, appliance: 'kiosk' })
    const comments = (role: 'release' | 'trust' | 'channel'): string[] | undefined =>
      trust.roles[role]?.keys.map(({ comment }) => comment)
    expect([comments('release'), comments('trust'), comments('channel')]).toEqual([
      ['first', 'second'],
      ['second'],
      ['first'],
    ])
    expect(trust.roles.release.threshold).toBe(2)
    const agent = JSON.parse(files.get('/etc/solo/agent.json') ?? '') as object
    expect(agent).toMatchObject({
      port: 8443,
      keys: [
        { key: first, role: 'admin' },
        { key: second, role: 'observe' },
      ],
      updaterSocket: '/run/solo/updater.sock',
    })
  })

  test('is none without a disk, or without updates in the configuration', () => {
    const identity = releaseIdentity(config, 'x86_64', 0)
    expect([...updateFiles(withOwnServices(loaded, 'initramfs'), identity, 'initramfs').keys()]).toEqual([
      '/etc/solo/release.json',
      '/etc/solo/agent.json',
    ])
    const { agent: _agent, updates: _updates, ...plain } = config
    const bare = withOwnServices({ ...loaded, config: plain }, 'disk')
    expect([...updateFiles(bare, identity, 'disk').keys()]).toEqual(['/etc/solo/release.json'])
    expect(makePlan(bare.config, 'disk')).toMatchObject({ control: { gid: 0 }, services: [{ name: 'web' }] })
  })
})
