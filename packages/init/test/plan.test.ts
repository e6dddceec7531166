import { assert, jsonValue, property } from 'fast-check'
import { expect, test } from 'vitest'
import * as constants from '@pkg/sys/constants'
import { parsePlan, PlanError, validatePlan } from '@pkg/init/plan'
import { capabilityNames } from '../src/plan/capabilities.ts'

const web = { name: 'web', command: ['/bin/web'], uid: 61_184, gid: 61_184 }

function problemsOf(value: unknown): string[] {
  try {
    validatePlan(value, 'plan.json')
  } catch (error) {
    if (error instanceof PlanError) return error.problems.map(({ path, expected }) => `${path}: ${expected}`)
    throw error
  }
  return []
}

test('validatePlan() fills in what was left out', () => {
  expect(validatePlan({ version: 1, services: [web] })).toEqual({
    version: 1,
    hostname: 'solo',
    modules: [],
    network: { dhcp: false },
    sysctl: {},
    storage: null,
    folders: [],
    services: [
      {
        ...web,
        environment: {},
        groups: [],
        workingDirectory: '/',
        restart: 'always',
        restartDelayMs: { initial: 100, max: 30_000, factor: 2 },
        restartLimit: 0,
        stopSignal: 15,
        stopTimeoutMs: 10_000,
        after: [],
        ready: 'started',
        health: null,
        watchdogMs: 0,
        required: true,
        capabilities: null,
        limits: { memoryMaxMiB: null, tasksMax: null },
        data: null,
        beforeUpdate: null,
      },
    ],
    shutdownTimeoutMs: 30_000,
    control: { gid: 0 },
    gate: { stableMs: 10_000, timeoutMs: 120_000, confirm: false, probes: [] },
    time: { servers: [] },
    allowEmergencyShell: false,
  })
})

test('validatePlan() reports every mistake at once, each with the path of its key', () => {
  const problems = problemsOf({
    version: 2,
    hostname: '-',
    modules: ['virtio net'],
    network: { dhcp: 'yes' },
    sysctl: { '../etc/passwd': 'x', 'net.ipv4.ip_forward': 1 },
    storage: { dataPartition: '', builtDiskGuid: '0' },
    folders: [{ path: '/var/../etc', mode: 0o10000 }],
    services: [
      { ...web, command: ['web'], uid: -1, restart: 'sometimes', restartDelayMs: { initial: 9, max: 3 } },
      { ...web, comand: [], stopSignal: 65, after: ['db'] },
    ],
    shutdownTimeoutMs: 0,
  })
  expect(problems).toEqual([
    'version: 1',
    'hostname: a host name, without NUL',
    'modules[0]: the name of a kernel module, without NUL',
    'network.dhcp: true or false',
    'sysctl["../etc/passwd"]: a name below /proc/sys',
    'sysctl["net.ipv4.ip_forward"]: a string',
    'storage.dataPartition: the name of a partition',
    'storage.builtDiskGuid: a GUID in lower case, without NUL',
    'folders[0].path: an absolute path, without NUL',
    'folders[0].mode: a whole number from 0 to 4095',
    'services[0].command[0]: the absolute path of a program',
    'services[0].uid: a whole number from 0 to 4294967294',
    'services[0].restart: one of always, on-failure, never',
    'services[0].restartDelayMs.max: at least initial (9)',
    expect.stringMatching(/^services\[1\]\.comand: one of name, command, /),
    'services[1].stopSignal: a whole number from 1 to 64',
    'shutdownTimeoutMs: a whole number from 1 to 2147483647',
    'services[1].name: a name that no other service has',
    'services[1].after[0]: the name of a service in this plan',
  ])
})

test('validatePlan() fills in what a probe leaves out', () => {
  const probed = {
    ...web,
    ready: { http: { port: 80 } },
    health: { command: ['/bin/true'] },
    capabilities: ['CAP_NET_RAW'],
  }
  const [service] = validatePlan({ version: 1, services: [probed] }).services
  expect(service).toMatchObject({
    ready: { http: { port: 80, path: '/', status: 200 }, timeoutMs: 90_000 },
    health: { command: ['/bin/true'], intervalMs: 10_000, timeoutMs: 5000, failures: 3 },
    capabilities: ['CAP_NET_RAW'],
  })
})

test('validatePlan() reports mistakes in probes, gate, control and time with their paths', () => {
  const problems = problemsOf({
    version: 1,
    services: [
      { ...web, name: 'a', ready: 'soon', health: { failures: 0 }, capabilities: ['NET_ADMIN'] },
      { ...web, name: 'b', ready: { notify: 1, tcp: { port: 1 } }, health: { tcp: { port: 70_000 } } },
      { ...web, name: 'c', ready: { http: { port: 80, path: '/ HTTP/1.0' } }, watchdogMs: -1 },
      { ...web, name: 'd', ready: { tcp: { port: 1 }, http: { port: 2 } }, required: 1 },
    ],
    control: { group: 1 },
    gate: { stableMs: -1, probes: [{ command: ['check'] }, { tcp: {} }] },
    time: { servers: ['a b'] },
  })
  expect(problems).toEqual([
    'control.group: one of gid',
    'services[0].ready: "started", or an object with notify, tcp, http or command',
    'services[0].health: one of tcp, http and command',
    'services[0].health.failures: a whole number from 1 to 1000',
    'services[0].capabilities[0]: the name of a capability, such as CAP_NET_ADMIN',
    'services[1].ready.notify: true',
    'services[1].ready.tcp: nothing beside notify',
    'services[1].health.tcp.port: a whole number from 1 to 65535',
    'services[2].ready.http.path: a path, without NUL',
    'services[2].watchdogMs: a whole number from 0 to 2147483647',
    'services[3].ready: one of tcp, http and command',
    'services[3].required: true or false',
    'gate.stableMs: a whole number from 0 to 2147483647',
    'gate.probes[0].command[0]: the absolute path of a program',
    'gate.probes[1].tcp.port: a whole number from 1 to 65535',
    'time.servers[0]: a name or an address, without NUL',
  ])
})

test('capabilityNames has the numbers of the kernel', () => {
  const numbers = Object.fromEntries(capabilityNames.map((name, number) => [name, number]))
  const kernel = Object.entries(constants).filter(([name]) => /^CAP_(?!LAST_CAP|\w*_OK$)/.test(name))
  expect(numbers).toEqual(Object.fromEntries(kernel))
})

test('validatePlan() refuses services that wait for each other in a circle', () => {
  const services = [
    { ...web, name: 'a', after: ['b'] },
    { ...web, name: 'b', after: ['c'] },
    { ...web, name: 'c', after: ['a'] },
    { ...web, name: 'd', after: ['a', 'network-online'] },
  ]
  expect(problemsOf({ version: 1, services })).toEqual([
    'services[0].after: no circle back to the service itself',
    'services[1].after: no circle back to the service itself',
    'services[2].after: no circle back to the service itself',
  ])
})

test.each(['init', 'network-online', 'cgroup.procs', '', '-web', 'a/b', 'x'.repeat(64)])(
  'validatePlan() refuses the service name %j',
  (name) => {
    expect(problemsOf({ version: 1, services: [{ ...web, name }] })).toHaveLength(1)
  },
)

test('parsePlan() names the file, the key, what was expected and what was found', () => {
  expect(() => parsePlan('{"version":1,"services":{}}', '/etc/solo/plan.json')).toThrow(
    '/etc/solo/plan.json: services: expected an array, found {}',
  )
  expect(() => parsePlan('{', '/etc/solo/plan.json')).toThrow(
    /^\/etc\/solo\/plan\.json: the plan: expected JSON/,
  )
  expect(() => parsePlan('[]')).toThrow('plan: the plan: expected an object, found []')
})

test('validatePlan() throws nothing but PlanError, whatever it is given', () => {
  assert(
    property(jsonValue(), jsonValue(), (value, service) => {
      for (const each of [
        value,
        { version: 1, services: [service] },
        { version: 1, services: [{ ...web, after: value }] },
        { version: 1, services: [{ ...web, ready: value, health: value }], gate: value, control: value },
      ]) {
        try {
          validatePlan(each)
        } catch (error) {
          expect(error).toBeInstanceOf(PlanError)
        }
      }
    }),
  )
})

test('validatePlan() accepts its own result unchanged', () => {
  const plan = validatePlan({
    version: 1,
    services: [web],
    sysctl: { 'net.ipv4.conf.eth0/100.rp_filter': '1' },
  })
  expect(validatePlan(JSON.parse(JSON.stringify(plan)))).toEqual(plan)
})
