// The updater on a kernel's own block devices and FAT, with a stick plugged in.
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { readFat, writeFat } from '@pkg/image/fat'
import { gptDisk, partitionTypes } from '@pkg/image/gpt'
import { namedGuid } from '@pkg/image/guid'
import { FileTree } from '@pkg/image/tree'
import { boot, type Vm } from '@pkg/vm'
import { rememberingDisk } from '@pkg/vm/nbd'
import { afterAll, expect, test } from 'vitest'
import { writeTrustDocument } from '../src/trust.ts'
import { layoutFolder } from './support/layout-folder.ts'
import { noise, type SampleRelease, sampleRelease, text } from './support/sample-release.ts'
import { Signer } from './support/signer.ts'

const MiB = 1024 * 1024

/** FAT with the code page and character set that the kernel takes by default. */
const modules = ['sd_mod', 'virtio_scsi', 'vfat', 'nls_cp437', 'nls_ascii', 'nls_iso8859_1', 'nls_utf8']

const folder = mkdtempSync(join(tmpdir(), 'solo-updater-vm-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const signer = new Signer()
const [runtime, kernel] = [text('runtime', 3_000_000), noise('kernel', 2_000_000)]

function release(counter: number): Promise<SampleRelease> {
  const uki = new Uint8Array(2_048_000)
  uki.set(kernel)
  uki.set(noise(`uki ${counter}`, 5000), 2_040_000)
  return sampleRelease(counter, { '/bin/bun': runtime, '/page.js': noise(`page ${counter}`, 9000) }, uki)
}

const sizes = { esp: 36 * MiB, 'root-a': 6 * MiB, 'root-b': 6 * MiB }
type Partition = keyof typeof sizes

const layout = gptDisk({
  sizeBytes: 52 * MiB,
  diskGuid: namedGuid('updater-vm'),
  partitions: Object.entries(sizes).map(([name, sizeBytes]) => {
    const type = name === 'esp' ? partitionTypes.esp : partitionTypes.rootX86_64
    return { name, type, guid: namedGuid(name), sizeBytes }
  }),
})

function startOf(name: Partition): number {
  return layout.partitions.find((partition) => partition.name === name)?.startBytes ?? NaN
}

async function fat(files: ReadonlyMap<string, Uint8Array>, sizeBytes: number): Promise<Uint8Array> {
  const tree = new FileTree()
  for (const [path, content] of files) tree.add({ path, type: 'file', content })
  return new Uint8Array(Buffer.concat(await Array.fromAsync(writeFat(tree, { sizeBytes, volumeLabel: 'X' }))))
}

async function writeDisk(path: string, { root, uki }: SampleRelease): Promise<void> {
  const bytes = new Uint8Array(52 * MiB)
  bytes.set(layout.primary)
  bytes.set(layout.backup, layout.backupOffsetBytes)
  bytes.set(await fat(new Map([['/EFI/Linux/soloa+3-0.efi', uki]]), sizes.esp), startOf('esp'))
  bytes.set(root, startOf('root-a'))
  writeFileSync(path, bytes)
}

/** A stick without a partition table, as many are, with the layout in its folder `solo`. */
async function writeStick(path: string, of: SampleRelease): Promise<void> {
  const place = await layoutFolder(of, signer, ['2.0'])
  const files = new Map<string, Uint8Array>()
  for (const entry of readdirSync(place, { recursive: true, withFileTypes: true })) {
    const file = join(entry.parentPath, entry.name)
    if (entry.isFile()) files.set(`/solo${file.slice(place.length)}`, new Uint8Array(readFileSync(file)))
  }
  rmSync(place, { recursive: true, force: true })
  writeFileSync(path, await fat(files, 64 * MiB))
}

/** The guest has no npm: each program goes into one file. */
async function bundle(name: string, entry: string): Promise<void> {
  const entrypoint = fileURLToPath(new URL(entry, import.meta.url))
  const { outputs } = await Bun.build({ entrypoints: [entrypoint], target: 'bun' })
  writeFileSync(join(folder, name), await (outputs[0] as Blob).text())
}

/** What PID 1, the image and the agent would have there. */
async function settle(vm: Vm, disk: string, { release: running }: SampleRelease): Promise<void> {
  const { appliance, version, counter, board, architecture } = running
  const identity = { appliance, version, counter, board, architecture, created: '2026-11-30T12:00:00Z' }
  const state = {
    ...{ slot: 'solo-a', entry: 'soloa+3-0.efi', trial: false, blessed: true, disk, counterFloor: counter },
    partitions: { esp: `${disk}1`, 'root-a': `${disk}2`, 'root-b': `${disk}3`, data: null },
  }
  const roles = { release: { threshold: 1, keys: [signer.line] } }
  await vm.run(async () => {
    const { mkdir } = await import('node:fs/promises')
    for (const path of ['/run/solo', '/etc/solo', '/var/lib/solo']) await mkdir(path, { recursive: true })
  })
  await vm.writeFile('/run/solo/boot.json', JSON.stringify(state))
  await vm.writeFile('/etc/solo/release.json', JSON.stringify(identity))
  await vm.writeFile('/etc/solo/trust.json', writeTrustDocument({ version: 1, appliance, roles }))
}

test('updater finds a release on a stick and installs it over FAT and block devices', async () => {
  const [one, two] = await Promise.all([release(1), release(2)])
  const [base, stick] = [join(folder, 'disk.img'), join(folder, 'stick.img')]
  await Promise.all([writeDisk(base, one), writeStick(stick, two)])
  const share = join(folder, 'share')
  mkdirSync(share)
  await Promise.all([bundle('share/updater.js', '../src/updater.ts'), bundle('share/ask.js', 'guest/ask.ts')])
  await using disk = await rememberingDisk({ base })
  await using vm = await boot({
    ...{ backend: 'qemu', modules, memoryMiB: 256, timeoutMs: 200_000 },
    disks: [
      { name: 'disk', nbd: disk.uri },
      { name: 'stick', file: stick },
    ],
    shares: [{ host: share, guest: '/programs' }],
  })
  await settle(vm, await vm.device('disk'), one)
  const updater = await vm.spawn('/bin/bun', ['/programs/updater.js'], { stdin: 'null' })
  await once(updater.stdout, 'data')
  const ask = async (what: string): Promise<unknown> => {
    return JSON.parse((await vm.exec('/bin/bun', ['/programs/ask.js', what])).stdout)
  }
  expect(await ask('state')).toMatchObject({ slots: [{ condition: 'whole' }, { condition: 'empty' }] })
  const before = disk.log.entries.filter(({ kind }) => kind === 'write').length
  expect(await ask('state')).toMatchObject({ installing: false })
  expect(disk.log.entries.filter(({ kind }) => kind === 'write')).toHaveLength(before)
  expect(await ask('stick')).toMatchObject({ type: 'installed', slot: 'solo-b', version: '2.0', counter: 2 })
  expect(await ask('state')).toMatchObject({ slots: [{}, { condition: 'whole', triesLeft: 3 }] })
  expect(new TextDecoder().decode(await vm.readFile('/proc/mounts'))).not.toContain('updater')
  await vm.poweroff()
  expect(Buffer.compare(disk.read(startOf('root-b'), two.root.length), two.root)).toBe(0)
  const esp = await readFat(disk.read(startOf('esp'), sizes.esp))
  const names = (await esp.list('/EFI/Linux')).map(({ name }) => name)
  expect(names.toSorted()).toEqual(['soloa+3-0.efi', 'solob+3-0.efi'])
  expect(Buffer.compare(await esp.read('/EFI/Linux/solob+3-0.efi'), two.uki)).toBe(0)
}, 240_000)
