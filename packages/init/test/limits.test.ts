// Limits of services, by the kernel that runs here; packages/distro/test/trial.vm.test.ts has one with all controllers.
import { readFileSync } from 'node:fs'
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { startPid1 } from './namespace/pid1.ts'
import { Client } from './support/control-client.ts'

/** The controllers that a group of ours can have: on a machine with the old hierarchies those have them. */
const controllers = (() => {
  const mounts = execFileSync('findmnt', ['-n', '-o', 'TARGET', '-t', 'cgroup2'], { encoding: 'utf8' })
  return readFileSync(join(mounts.split('\n')[0] ?? '', 'cgroup.controllers'), 'utf8')
    .trim()
    .split(' ')
})()

test('a service is held to its limits, or runs without those that the kernel cannot hold, and that is told', async () => {
  const crowd = {
    name: 'crowd',
    command: ['/bin/sh', '-c', 'for n in 1 2 3 4 5 6; do sleep 60 & done; wait'],
    ...{ uid: 65_534, gid: 65_534, restart: 'never', limits: { tasksMax: 4, memoryMaxMiB: 64 } },
  }
  await using pid1 = startPid1([crowd])
  await pid1.waitFor(/init: ready in/)
  using client = new Client(pid1.run)
  if (controllers.includes('pids')) {
    await pid1.waitFor(/crowd: .*fork/i)
  } else {
    await pid1.waitFor(/crowd: runs without limits: no .*pids\.max \(ENOENT\) here$/)
    expect((await client.status()).services[0]).toMatchObject({ name: 'crowd', status: 'running' })
  }
  if (!controllers.includes('memory'))
    await pid1.waitFor(/crowd: runs without limits: no memory\.max \(ENOENT\), memory\.oom\.group \(ENOENT\)/)
  await client.ask({ type: 'stop', service: 'crowd' })
  if (controllers.includes('pids'))
    await pid1.waitFor(/init: crowd: \d+ tasks were not started: its limit is 4$/)
})
