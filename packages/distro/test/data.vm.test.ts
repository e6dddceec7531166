// The guest book of examples/guestbook on a real disk: a release whose migration fails, one whose migration works, and
// the way back from that.
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { QemuMachine } from '@pkg/vm/qemu'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { buildAppliance, type BuildResult } from '../src/build.ts'
import type { ApplianceConfig } from '../src/config.ts'
import { powerOff } from '../src/run.ts'
import { BOOT_MS, fillSlotB, hardware, mtools, startMachine } from './support/disk-machine.ts'
import { testFolder } from './support/folder.ts'
import { ask, askJson, eventually } from './support/guest.ts'
import { fixture, writeProject } from './support/project.ts'

const PORT = 8080
const example = (file: string): string =>
  fileURLToPath(new URL(`../../../examples/guestbook/${file}`, import.meta.url))

const folders = [{ path: '/var/lib/guestbook', user: 'guestbook' }]

/** Said nothing of its data yet. */
const old: ApplianceConfig = {
  ...{ name: 'guestbook', folders },
  services: [{ name: 'guestbook', entry: fixture('appliance/guestbook-1.ts'), ports: [PORT] }],
}

/** What the example is. */
const current: ApplianceConfig = {
  ...{ name: 'guestbook', folders },
  services: [
    {
      ...{ name: 'guestbook', entry: example('src/server.ts'), ports: [PORT] },
      data: {
        ...{ version: 2, folders: ['/var/lib/guestbook'] },
        migrate: { entry: example('src/migrate.ts') },
      },
      beforeUpdate: { entry: example('src/before-update.ts') },
    },
  ],
}

const root = testFolder()
let first: BuildResult
let second: BuildResult
let third: BuildResult

beforeAll(async () => {
  const build = async (version: string, release: number, config: ApplianceConfig): Promise<BuildResult> => {
    const project = writeProject(join(root.path, version), { ...config, release, version })
    return await buildAppliance(project, { format: 'disk' })
  }
  first = await build('1.0', 1, old)
  second = await build('2.0', 2, current)
  third = await build('3.0', 3, current)
}, 300_000)

afterAll(() => root[Symbol.dispose]())

/** Asks the service for a text as soon as it answers. */
async function textOf(vm: QemuMachine, init?: RequestInit): Promise<string> {
  const answer = await eventually(
    () => ask(vm, PORT, '/', init),
    ({ ok }) => ok,
  )
  return await answer.text()
}

test('data come to a release that works, stay with one that does not, and are found again on the way back', async () => {
  const machine = hardware(root.path, first.disk ?? '')
  const booted = async (look: (vm: QemuMachine) => Promise<void>): Promise<void> => {
    await using vm = await startMachine(machine, PORT)
    await look(vm)
    await powerOff(vm)
  }
  const sees = async (vm: QemuMachine, line: RegExp): Promise<void> => {
    await vm.console.waitFor(line, { timeoutMs: BOOT_MS })
  }

  await booted(async (vm) => {
    await sees(vm, /boot blessed: soloa/)
    await textOf(vm, { method: 'PUT', body: 'Ada\tHello\nno tabulator\n' })
  })

  fillSlotB(root.path, machine.disk, first, second)
  await booted(async (vm) => {
    await sees(vm, /guestbook: a snapshot of its data of version 1 was made/)
    await sees(vm, /guestbook: .*entries\.txt:2: expected a name, a tabulator and a text/)
    await sees(
      vm,
      /gate: failed: guestbook: failed: the migration of its data from version 1 to 2 has failed: /,
    )
    await sees(vm, /its data are those of the snapshot of version 1 again: a migration was not finished/)
    await sees(vm, /boot blessed: soloa/)
    expect(await textOf(vm)).toBe('Ada\tHello\nno tabulator\n')
    await textOf(vm, { method: 'PUT', body: 'Ada\tHello\n' })
  })

  mtools(first, machine.disk, 'mdel', '::/EFI/Linux/solob+0-3.efi')
  fillSlotB(root.path, machine.disk, first, third)
  await booted(async (vm) => {
    await sees(vm, /guestbook: 1 entries/)
    await sees(vm, /boot blessed: solob/)
    await textOf(vm, { method: 'POST', body: new URLSearchParams({ name: 'Grace', text: 'Later' }) })
    const entries = await askJson<{ name: string; at: string | null }[]>(vm, PORT, '/entries.json')
    expect(entries.map(({ name, at }) => [name, at === null])).toEqual([
      ['Ada', true],
      ['Grace', false],
    ])
  })

  mtools(first, machine.disk, 'mren', '::/EFI/Linux/solob+3-0.efi', '::/EFI/Linux/solob+0-3.efi')
  await booted(async (vm) => {
    await sees(
      vm,
      /its data are those of the snapshot of version 1 again; the newer ones are in .*set-aside-from-2/,
    )
    expect(await textOf(vm)).toBe('Ada\tHello\n')
  })
}, 900_000)
