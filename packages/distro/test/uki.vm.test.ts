// An appliance that is one file: firmware starts it from a stick, and it keeps nothing.
import { execFileSync } from 'node:child_process'
import { copyFileSync } from 'node:fs'
import { join } from 'node:path'
import { type QemuMachine, startQemu } from '@pkg/vm/qemu'
import { afterAll, expect, test } from 'vitest'
import { buildAppliance } from '../src/build.ts'
import type { ApplianceConfig } from '../src/config.ts'
import { powerOff, readyLine } from '../src/run.ts'
import { CPUS } from './support/disk-machine.ts'
import { testFolder } from './support/folder.ts'
import { ask, eventually } from './support/guest.ts'
import { fixture, writeProject } from './support/project.ts'

const PORT = 8080
const BOOT_MS = 180_000
const root = testFolder()
afterAll(() => root[Symbol.dispose]())

const config: ApplianceConfig = {
  name: 'whole',
  profile: 'virtio',
  services: [{ name: 'web', entry: fixture('appliance/web.ts'), ports: [PORT] }],
}

/** The variables of the firmware. */
const variables = join(root.path, 'variables.fd')

/** Boots from a disk until its services run. */
async function boot(file: string): Promise<QemuMachine> {
  const vm = await startQemu({
    firmware: { code: '/usr/share/OVMF/OVMF_CODE_4M.fd', variables, writable: true },
    disks: [{ name: 'stick', file, writable: true }],
    networks: [{ kind: 'user', forwards: [{ hostPort: 0, guestPort: PORT }] }],
    cpus: CPUS,
    timeoutMs: 2 * BOOT_MS,
  })
  const [, , , failed] = await vm.console.waitFor(readyLine, { timeoutMs: BOOT_MS })
  expect(failed).toBe('0')
  return vm
}

async function answer(vm: QemuMachine, path: string): Promise<string> {
  const found = await eventually(
    () => ask(vm, PORT, path),
    ({ status }) => status === 200,
  )
  return await found.text()
}

test('a unified kernel image of everything boots from a stick', async () => {
  const { uki = '' } = await buildAppliance(writeProject(root.path, config), {
    format: 'uki',
  })
  copyFileSync('/usr/share/OVMF/OVMF_VARS_4M.fd', variables)
  const stick = join(root.path, 'stick.img')
  execFileSync('truncate', ['--size=128M', stick])
  execFileSync('mformat', ['-i', stick, '-F', '::'])
  execFileSync('mmd', ['-i', stick, '::/EFI', '::/EFI/BOOT'])
  execFileSync('mcopy', ['-i', stick, uki, '::/EFI/BOOT/BOOTX64.EFI'])
  await using vm = await boot(stick)
  expect(await answer(vm, '/')).toContain('The appliance')
  await powerOff(vm)
}, 400_000)
