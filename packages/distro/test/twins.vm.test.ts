// Two disks that were flashed from one image, in one machine: each boot is of the disk whose loader the firmware started,
// in whatever order they are plugged in, and not a byte of the other one changes.
import { execFileSync } from 'node:child_process'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { startQemu } from '@pkg/vm/qemu'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { buildAppliance, type BuildResult } from '../src/build.ts'
import { powerOff, readyLine } from '../src/run.ts'
import { BOOT_MS, CPUS, hardware, mtools } from './support/disk-machine.ts'
import { testFolder } from './support/folder.ts'
import { fixture, writeProject } from './support/project.ts'

const root = testFolder()
let build: BuildResult

beforeAll(async () => {
  const project = writeProject(root.path, {
    name: 'twins',
    services: [{ name: 'web', entry: fixture('appliance/web.ts'), ports: [8080] }],
  })
  build = await buildAppliance(project, { format: 'disk' })
}, 240_000)

afterAll(() => root[Symbol.dispose]())

/** What PID 1 says of one boot. */
interface Boot {
  /** The console, from the start of the machine to its end. */
  readonly text: string
  readonly machineId: string
}

/** Boots with two disks, in this order; both can be written. */
async function boot(variables: string, disks: readonly [first: string, second: string]): Promise<Boot> {
  await using vm = await startQemu({
    firmware: { code: '/usr/share/OVMF/OVMF_CODE_4M.fd', variables, writable: true },
    disks: disks.map((file, index) => ({ name: `twin${index}`, file, writable: true })),
    networks: [{ kind: 'user', forwards: [] }],
    cpus: CPUS,
    ...{ onReboot: 'restart', onPanic: 'ignore', timeoutMs: 3 * BOOT_MS },
  })
  const [, , , failed] = await vm.console.waitFor(readyLine, { timeoutMs: 2 * BOOT_MS })
  expect(failed).toBe('0')
  await powerOff(vm)
  const { text } = vm.console
  return { text, machineId: /machine id: ([0-9a-f]{32})/.exec(text)?.[1] ?? '' }
}

/** Does something, after which a disk must be what it was. */
async function untouched<T>(disk: string, act: () => Promise<T>): Promise<T> {
  const before = `${disk}.before`
  execFileSync('cp', ['--sparse=always', disk, before])
  const result = await act()
  execFileSync('cmp', [before, disk])
  rmSync(before)
  return result
}

const RESTARTING = /root: on \/dev\/sd[ab], which is a twin of \/dev\/sd[ab]: restarting/

/**
 * Its parts are those of one disk, and a boot that began with the other's root has ended by itself. Which of the two
 * the kernel calls sda is chance; that it is the right one, {@link untouched} tells.
 */
function expectOneDisk(text: string, { data }: { readonly data: string }): void {
  const disk = /disk: (\/dev\/sd[ab]) /.exec(text.split(RESTARTING).at(-1) ?? '')?.[1]
  expect(text).toContain(`root: on ${disk} (`)
  expect(text).toContain(`data partition: ${disk}4${data}`)
  if (RESTARTING.test(text)) expect(text.split(RESTARTING)[1]).toMatch(/slot: soloa\+1-2\.efi/)
}

test('of two equal disks each boot has root, boot partition and data of the one whose loader ran', async () => {
  const image = build.disk ?? ''
  const [one, two] = [hardware(root.path, image), hardware(root.path, image)]
  // The loader of the second disk runs, and all that stage 1 can see of both is the same: their GUIDs too.
  const loader = '::/EFI/BOOT/BOOTX64.EFI'
  mtools(build, one.disk, 'mdel', loader)
  const second = await untouched(one.disk, async () => await boot(two.variables, [one.disk, two.disk]))
  expect(second.text).toMatch(/partition table: GUIDs of its own, which a twin in this machine had too/)
  expectOneDisk(second.text, { data: ', formatted' })

  // Both have their loaders, and are the other way round: the firmware finds the one that it knows by its GUIDs.
  const file = join(root.path, 'loader.efi')
  mtools(build, image, 'mcopy', '-n', '-o', loader, file)
  mtools(build, one.disk, 'mcopy', file, loader)
  const again = await untouched(one.disk, async () => await boot(two.variables, [two.disk, one.disk]))
  expect(again.text).toMatch(/partition table: as it should be/)
  expectOneDisk(again.text, { data: ' (' })
  expect(again.text).not.toMatch(RESTARTING)
  expect(again.machineId).toBe(second.machineId)

  // And with other firmware's variables it is the first one's boot, of which nobody has heard before.
  const first = await untouched(two.disk, async () => await boot(one.variables, [one.disk, two.disk]))
  expectOneDisk(first.text, { data: ', formatted' })
  expect(first.machineId).not.toBe(second.machineId)
}, 600_000)
