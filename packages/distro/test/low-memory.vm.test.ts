// How little memory an appliance boots in.
import { afterAll, expect, test } from 'vitest'
import { buildAppliance } from '../src/build.ts'
import type { ApplianceConfig } from '../src/config.ts'
import { powerOff, readyLine, startAppliance } from '../src/run.ts'
import { testFolder } from './support/folder.ts'
import { ask, eventually } from './support/guest.ts'
import { fixture, writeProject } from './support/project.ts'

const PORT = 8080
const BOOT_MS = 180_000
const root = testFolder()
afterAll(() => root[Symbol.dispose]())

const config: ApplianceConfig = {
  name: 'little',
  profile: 'virtio',
  services: [{ name: 'web', entry: fixture('appliance/web.ts'), ports: [PORT] }],
}

test('the disk boots in 96 MB of memory, without firmware, and its service answers', async () => {
  const built = await buildAppliance(writeProject(root.path, config), { format: 'disk' })
  const forwards = [{ host: 0, guest: PORT }]
  await using vm = await startAppliance(built, {
    direct: true,
    memoryMiB: 96,
    forwards,
    timeoutMs: 2 * BOOT_MS,
  })
  await vm.console.waitFor(readyLine, { timeoutMs: BOOT_MS })
  const answer = async (path: string): Promise<string> => {
    const found = await eventually(
      () => ask(vm, PORT, path),
      ({ status }) => status === 200,
    )
    return await found.text()
  }
  expect(await answer('/')).toContain('The appliance')
  expect(await answer('/read-ahead')).toBe('4\n')
  await powerOff(vm)
}, 600_000)
