import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { describe, expect, test } from 'vitest'
import { describeProcess, listProcesses, parseCgroup, parseStatFlags, serviceOf } from '../src/processes.ts'

const status = `Name:\tbun
Umask:\t0022
State:\tS (sleeping)
Tgid:\t87
Pid:\t87
PPid:\t1
Uid:\t61201\t61202\t61202\t61202
VmRSS:\t   41000 kB
`
const stat = '87 (bun) S 1 87 87 0 -1 4194304 99 0 0 0'
const kernelStat = '2 (kthreadd) S 0 0 0 0 -1 2129984 0 0 0 0'

describe('describeProcess()', () => {
  test('names the service of a process by its cgroup', () => {
    expect(describeProcess(status, stat, '0::/solo/web\n')).toEqual({
      pid: 87,
      ppid: 1,
      name: 'bun',
      state: 'S',
      uid: 61_202,
      cgroup: '/solo/web',
      residentBytes: 41_984_000,
      role: 'service',
      service: 'web',
    })
  })

  test('tells a kernel thread by its flag, not by its name or parent', () => {
    const thread = 'Name:\tkthreadd\nState:\tS (sleeping)\nPid:\t2\nPPid:\t0\nUid:\t0\t0\t0\t0\n'
    expect(describeProcess(thread, kernelStat, '0::/\n')).toMatchObject({ role: 'kernel', residentBytes: 0 })
    expect(describeProcess(thread, stat, '0::/\n')).toMatchObject({ role: 'other' })
  })

  test('calls PID 1 init, and takes a cgroup that cannot be read', () => {
    const first = status.replace('Pid:\t87', 'Pid:\t1')
    expect(describeProcess(first, stat, null)).toMatchObject({ role: 'init', cgroup: null, service: null })
  })
})

test('parseStatFlags() finds the flags behind a name that holds brackets and spaces', () => {
  expect(parseStatFlags('9 (a) S 1 (b) S 1 87 87 0 -1 2129984 0')).toBe(2_129_984)
})

test('parseCgroup() takes the line of cgroup2 among those of older hierarchies', () => {
  expect(parseCgroup('9:name=systemd:/\n4:memory:/x\n0::/solo/web\n')).toBe('/solo/web')
  expect(parseCgroup('4:memory:/x\n')).toBeNull()
})

test('serviceOf() finds the service also in a group below, and in one that was removed', () => {
  expect(serviceOf('/solo/web/workers')).toBe('web')
  expect(serviceOf('/solo/web (deleted)')).toBe('web')
  for (const other of [null, '/', '/solo', '/solo/', '/system.slice/solo/web'])
    expect(serviceOf(other)).toBeNull()
})

describe('listProcesses()', () => {
  test('shows this process as it is', () => {
    expect(listProcesses().find(({ pid }) => pid === process.pid)).toMatchObject({
      ppid: process.ppid,
      uid: process.geteuid?.(),
    })
  })

  test('shows a child, and no longer when it has ended', async () => {
    const child = spawn('sleep', ['60'])
    await once(child, 'spawn')
    const isListed = (): boolean => listProcesses().some(({ pid }) => pid === child.pid)
    expect(isListed()).toBe(true)
    child.kill('SIGKILL')
    await once(child, 'exit')
    expect(isListed()).toBe(false)
  })

  test('holds while processes come and go', async () => {
    const churn = spawn('sh', ['-c', 'for i in $(seq 300); do /bin/true; done'])
    const ended = once(churn, 'exit')
    let listings = 0
    while (churn.exitCode === null && churn.signalCode === null) {
      expect(listProcesses().length).toBeGreaterThan(0)
      listings += 1
      await new Promise(setImmediate)
    }
    await ended
    expect(listings).toBeGreaterThan(1)
  })
})
