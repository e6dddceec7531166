import { validatePlan } from '@pkg/init/plan'
import { initialState, type ServiceStatus } from '@pkg/init/core'
import { afterAll, beforeEach, expect, test } from 'vitest'
import { programs } from '../src/shell/programs.ts'
import { reap } from '../src/shell/reaper.ts'
import { askServices } from '../src/trial/before-update.ts'

const own = programs(() => performance.now())
/** PID 1 does so at each SIGCHLD. */
const reaping = setInterval(() => void reap((child) => void own.reaped(child)), 10)
const lines: string[] = []

beforeEach(() => void lines.splice(0))
afterAll(() => clearInterval(reaping))

/** Asks services before an update to 1.3, each with its hook's script and its status. */
async function ask(
  ...services: readonly { name: string; script?: string; status?: ServiceStatus; timeoutMs?: number }[]
): Promise<void> {
  const ids = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 }
  const plan = validatePlan({
    version: 1,
    services: services.map(({ name, script, timeoutMs }) => ({
      ...{ name, command: ['/bin/sleep', '60'], ...ids, environment: { OWN: 'variable' } },
      beforeUpdate: script === undefined ? null : { command: ['/bin/sh', '-c', script], timeoutMs },
    })),
  })
  const state = initialState(plan, 1)
  for (const { name, status = 'running' } of services) {
    const service = state.services[name]
    if (service !== undefined) service.status = status
  }
  const onLine = (source: string, text: string): void => void lines.push(`${source}: ${text}`)
  const context = { cgroups: null, programs: own, nowMs: () => performance.now(), onLine }
  await askServices(state.services, '1.3', context)
}

test('askServices() runs the hooks of services that run, with the version that is to come', async () => {
  await ask(
    { name: 'web', script: 'echo "$OWN before $SOLO_UPDATE_TO"' },
    { name: 'silent' },
    { name: 'down', script: 'echo "I am not asked"; exit 1', status: 'failed' },
  )
  expect(lines).toEqual(['web.before-update: variable before 1.3'])
})

test('askServices() tells the reason of each that refuses, and of one that takes too long', async () => {
  const asked = ask(
    { name: 'web', script: 'echo "a guest is writing"; exit 2' },
    { name: 'db', script: 'sleep 60', timeoutMs: 100 },
    { name: 'good', script: 'exit 0' },
  )
  await expect(asked).rejects.toThrow(
    /^no restart into another release: beforeUpdate of web has failed: exited with status 2; beforeUpdate of db was not done within 100 ms$/,
  )
  expect(lines).toEqual(['web.before-update: a guest is writing'])
})
