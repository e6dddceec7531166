import { assert, jsonValue, property } from 'fast-check'
import { expect, test } from 'vitest'
import { parsePlan, PlanError, validatePlan } from '@pkg/init/plan'

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
      },
    ],
    shutdownTimeoutMs: 30_000,
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
