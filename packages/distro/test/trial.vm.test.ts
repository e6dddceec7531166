// A release that fails on a real disk under UEFI firmware, the way back, and a factory reset.
import { join } from 'node:path'
import type { BootState } from '@pkg/init/boot-state'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { buildAppliance, type BuildResult } from '../src/build.ts'
import type { ApplianceConfig } from '../src/config.ts'
import { powerOff, readyLine } from '../src/run.ts'
import { BOOT_MS, fillSlotB, hardware, mtools, startMachine } from './support/disk-machine.ts'
import { testFolder } from './support/folder.ts'
import { ask, askJson, eventually } from './support/guest.ts'
import { fixture, writeProject } from './support/project.ts'

const PORT = 8080

const config: ApplianceConfig = {
  name: 'trial',
  services: [{ name: 'controller', entry: fixture('appliance/controller.ts'), user: 'root', ports: [PORT] }],
  timeServers: ['127.0.0.1'],
}

const broken: ApplianceConfig = {
  ...config,
  services: [
    ...config.services,
    { name: 'broken', command: ['/bin/bun', '-e', 'process.exit(7)'], restart: 'never' },
  ],
}

const root = testFolder()
let good: BuildResult
let bad: BuildResult

beforeAll(async () => {
  const build = async (name: string, release: number, appliance: ApplianceConfig): Promise<BuildResult> => {
    const project = writeProject(join(root.path, name), { ...appliance, release, version: name })
    return await buildAppliance(project, { format: 'disk' })
  }
  good = await build('1.0', 1, config)
  bad = await build('2.0', 2, broken)
}, 240_000)

afterAll(() => root[Symbol.dispose]())

test('a trial whose service fails is given up, and told of; a factory reset leaves slots and counter as they are', async () => {
  const machine = hardware(root.path, good.disk ?? '')
  fillSlotB(root.path, machine.disk, good, bad)
  await using vm = await startMachine(machine, PORT)
  const boot = async (): Promise<BootState> => await askJson<BootState>(vm, PORT, '/boot')
  const control = async (request: object): Promise<unknown> =>
    await askJson(vm, PORT, `/control?request=${encodeURIComponent(JSON.stringify(request))}`)

  await vm.console.waitFor(/gate: a trial of 2\.0 \(2\), 120000 ms to pass/, { timeoutMs: BOOT_MS })
  await vm.console.waitFor(/gate: failed: broken: failed: exited with status 7/, { timeoutMs: BOOT_MS })
  await vm.console.waitFor(/gate: solo-b is given up: restarting/)
  await vm.console.waitFor(/boot blessed: soloa\+2-1\.efi is soloa\+3-0\.efi again/, { timeoutMs: BOOT_MS })
  const back = await eventually(boot, ({ blessed }) => blessed)
  expect(back).toMatchObject({
    slot: 'solo-a',
    entry: 'soloa+3-0.efi',
    release: { version: '1.0', counter: 1, appliance: 'trial' },
    trial: false,
    counterFloor: 1,
    lastRollback: {
      from: { slot: 'solo-b', version: '2.0', counter: 2 },
      reason: expect.stringMatching(/^broken: failed: exited with status 7/) as string,
    },
    partitions: { esp: '/dev/sda1', 'root-a': '/dev/sda2', 'root-b': '/dev/sda3', data: '/dev/sda4' },
  })
  expect(await control({ type: 'rollback' })).toEqual({
    ok: false,
    error: 'there is no other slot to go back to',
  })

  // The machine's clock is this host's; the time server in it is years ahead.
  await eventually(boot, ({ clock }) => clock === 'sntp')
  expect(Number(await (await ask(vm, PORT, '/time')).text())).toBeGreaterThanOrEqual(Date.UTC(2031, 0, 1))

  expect(await (await ask(vm, PORT, '/keep')).text()).toBe('kept')
  const before = vm.console.text.length
  expect(await control({ type: 'factory-reset' })).toEqual({ ok: true })
  await eventually(
    () => Promise.resolve(vm.console.text.slice(before)),
    (text) => /data partition: \/dev\/sda4, formatted/.test(text) && readyLine.test(text),
    2 * BOOT_MS,
  )
  expect(vm.console.text.slice(before)).toMatch(/factory reset: the next boot formats \/dev\/sda4/)
  expect(
    await (
      await eventually(
        () => ask(vm, PORT, '/kept'),
        ({ ok }) => ok,
      )
    ).text(),
  ).toBe('false')
  expect(await boot()).toMatchObject({ slot: 'solo-a', counterFloor: 1 })
  await powerOff(vm)
  const entries = mtools(good, machine.disk, 'mdir', '-b', '::/EFI/Linux').trim().split('\n').toSorted()
  expect(entries).toEqual(['::/EFI/Linux/soloa+3-0.efi', '::/EFI/Linux/solob+0-3.efi'])
}, 600_000)
