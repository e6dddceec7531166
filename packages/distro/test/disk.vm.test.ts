// A disk image, booted by firmware as a machine would, and judged between the boots by other people's tools.
import { execFileSync } from 'node:child_process'
import { closeSync, copyFileSync, openSync, readSync, truncateSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { fileAccess } from '@pkg/image/file-access'
import { readUki } from '@pkg/image/uki'
import type { QemuMachine } from '@pkg/vm/qemu'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { buildAppliance, type BuildResult } from '../src/build.ts'
import type { ApplianceConfig } from '../src/config.ts'
import { powerOff, readyLine } from '../src/run.ts'
import { BOOT_MS, fillSlotB, hardware, mtools, partitionOf, startMachine } from './support/disk-machine.ts'
import { testFolder } from './support/folder.ts'
import { ask, eventually } from './support/guest.ts'
import { fixture, writeProject } from './support/project.ts'

const PORT = 8080
const mebibyte = 1024 * 1024

const config: ApplianceConfig = {
  name: 'on-disk',
  services: [{ name: 'web', entry: fixture('appliance/web.ts'), ports: [PORT] }],
  folders: [{ path: '/var/lib/web', user: 'web' }],
}

const root = testFolder()
let newer: BuildResult
let older: BuildResult

beforeAll(async () => {
  const build = async (name: string, release: number): Promise<BuildResult> => {
    const project = writeProject(join(root.path, name), { ...config, release, version: name })
    return await buildAppliance(project, { format: 'disk' })
  }
  newer = await build('newer', 2)
  older = await build('older', 1)
}, 240_000)

afterAll(() => root[Symbol.dispose]())

async function ready(vm: QemuMachine): Promise<void> {
  const [, , , failed] = await vm.console.waitFor(readyLine, { timeoutMs: BOOT_MS })
  expect(failed).toBe('0')
}

/** A partition as a file of its own, for tools that take no offset. */
function extract(disk: string, name: string): string {
  const { startBytes, sizeBytes } = partitionOf(newer, name)
  const target = join(root.path, `${name}.part`)
  const block = 64 * 1024
  const counts = [`bs=${block}`, `skip=${startBytes / block}`, `count=${sizeBytes / block}`]
  execFileSync('dd', [`if=${disk}`, `of=${target}`, ...counts, 'conv=sparse', 'status=none'])
  return target
}

describe('a disk under UEFI firmware', () => {
  test('boots to the page, is blessed, and is found clean by the tools of others', async () => {
    const machine = hardware(root.path, newer.disk ?? '')
    let firstId = ''
    {
      await using vm = await startMachine(machine, PORT)
      await ready(vm)
      await vm.console.waitFor(/boot blessed: soloa\+2-1\.efi is soloa\+3-0\.efi again/)
      const page = await eventually(
        () => ask(vm, PORT, '/'),
        ({ status }) => status === 200,
      )
      expect(page.status).toBe(200)
      expect(vm.console.text).toMatch(/partition table: GUIDs of its own/)
      expect(vm.console.text).toMatch(/boot entries: first Boot/)
      expect(vm.console.text).toMatch(/data partition: \/dev\/sda4, formatted/)
      expect(vm.console.text).toMatch(/folders: \/var\/lib\/web/)
      firstId = /machine id: ([0-9a-f]{32})/.exec(vm.console.text)?.[1] ?? ''
      await powerOff(vm)
    }
    expect(execFileSync('sgdisk', ['-v', machine.disk], { encoding: 'utf8' })).toContain('No problems found')
    execFileSync('fsck.fat', ['-n', extract(machine.disk, 'esp')])
    execFileSync('e2fsck', ['-fn', extract(machine.disk, 'data')], { stdio: 'pipe' })
    const rootA = extract(machine.disk, 'root-a')
    const { rootHash, sizeBytes } = newer.manifest.disk?.root ?? { rootHash: '', sizeBytes: 0 }
    const hashes = String(hashOffset(rootA))
    expect(Number(hashes)).toBeLessThan(sizeBytes)
    execFileSync('veritysetup', ['verify', rootA, rootA, rootHash, `--hash-offset=${hashes}`])

    // A larger disk, and no clean end of the boot before: what was kept is there.
    truncateSync(machine.disk, (newer.manifest.disk?.sizeBytes ?? 0) + 512 * mebibyte)
    {
      await using vm = await startMachine(machine, PORT)
      await ready(vm)
      expect(vm.console.text).toMatch(/partition table: .*data grown to \d+ MiB/)
      expect(vm.console.text).toMatch(/boot entries: as they should be/)
      expect(vm.console.text).toMatch(/data partition: \/dev\/sda4, grown/)
      expect(vm.console.text).toContain(`machine id: ${firstId}`)
      await vm.kill()
    }
    expect(execFileSync('sgdisk', ['-v', machine.disk], { encoding: 'utf8' })).toContain('No problems found')
    {
      await using vm = await startMachine(machine, PORT)
      await ready(vm)
      expect(vm.console.text).toMatch(/data partition: \/dev\/sda4, checked/)
      expect(vm.console.text).toContain(`machine id: ${firstId}`)
      await powerOff(vm)
    }
  }, 400_000)

  test('falls back from a blessed slot whose kernel image or root is damaged, and from a torn table', async () => {
    const machine = hardware(root.path, newer.disk ?? '')
    fillSlotB(root.path, machine.disk, newer, older)
    const [whole, broken] = [join(root.path, 'whole.efi'), join(root.path, 'broken.efi')]
    mtools(newer, machine.disk, 'mcopy', '-n', '-o', '::/EFI/Linux/soloa+3-0.efi', whole)
    const fallsBack = async (left: string): Promise<string> => {
      mtools(newer, machine.disk, 'mcopy', '-o', broken, '::/EFI/Linux/soloa+3-0.efi')
      await using vm = await startMachine(machine, PORT)
      await ready(vm)
      await vm.console.waitFor(/boot blessed: solob\+2-1\.efi is solob\+3-0\.efi again/)
      await powerOff(vm)
      expect(mtools(newer, machine.disk, 'mdir', '-b', '::/EFI/Linux')).toContain(left)
      mtools(newer, machine.disk, 'mdel', `::/EFI/Linux/${left}`)
      return vm.console.text
    }
    // Cut off, it has no os-release: the loader sees no entry in it.
    copyFileSync(whole, broken)
    truncateSync(broken, 5 * mebibyte)
    expect(await fallsBack('soloa+2-1.efi')).toMatch(
      /init: solo-a \(of an unknown version\) was given up: the boot loader passed over it/,
    )
    // With a kernel that cannot be loaded it is tried three times, by the entries that PID 1 gave the firmware.
    copyFileSync(whole, broken)
    await damageKernel(broken)
    await fallsBack('soloa+0-3.efi')

    // A root whose superblock is damaged, with its kernel whole again and one try left, in which stage 1 says so. And the
    // primary partition table torn in its middle: OVMF takes the backup, and mends it; other firmware leaves that to PID 1.
    mtools(newer, machine.disk, 'mcopy', whole, '::/EFI/Linux/soloa+1-2.efi')
    const disk = openSync(machine.disk, 'r+')
    writeSync(disk, Buffer.alloc(128, 0x5a), 0, 128, partitionOf(newer, 'root-a').startBytes + 1024)
    writeSync(disk, Buffer.alloc(1024, 0x5a), 0, 1024, 512)
    closeSync(disk)
    await using vm = await startMachine(machine, PORT)
    await ready(vm)
    await vm.console.waitFor(/boot blessed: solob\+2-1\.efi is solob\+3-0\.efi again/)
    const { imageId } = newer.manifest.disk?.root ?? {}
    const given = `solo stage 1: cannot find the root image ${imageId} on the loader's disk; rebooting in 10 s`
    expect(vm.console.text.split(given)).toHaveLength(2)
    await powerOff(vm)
    expect(mtools(newer, machine.disk, 'mdir', '-b', '::/EFI/Linux')).toContain('soloa+0-3.efi')
    expect(execFileSync('sgdisk', ['-v', machine.disk], { encoding: 'utf8' })).toContain('No problems found')
  }, 600_000)
})

/** Overwrites the head of the kernel inside a unified kernel image, which stays one. */
async function damageKernel(path: string): Promise<void> {
  await using access = await fileAccess(path)
  const kernel = (await readUki(access)).sections.find(({ name }) => name === '.linux')
  const file = openSync(path, 'r+')
  writeSync(file, Buffer.alloc(4096), 0, 4096, kernel?.offset ?? 0)
  closeSync(file)
}

/** Where the hash tree of a root begins: behind the image, whose size its superblock tells in blocks. */
function hashOffset(file: string): number {
  const superblock = Buffer.alloc(128)
  const opened = openSync(file, 'r')
  readSync(opened, superblock, 0, superblock.length, 1024)
  closeSync(opened)
  // struct erofs_super_block: blocks at 36, blkszbits at 12.
  return superblock.readUInt32LE(36) * 2 ** superblock.readUInt8(12)
}
