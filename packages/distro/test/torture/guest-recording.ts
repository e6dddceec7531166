// Installations in a small guest, on the kernel's own block devices and FAT, recorded by disks that remember.
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { boot, type Vm } from '@pkg/vm'
import type { RememberingDisk } from '@pkg/vm/nbd'
import { CPUS } from '../support/disk-machine.ts'
import type { Mistake } from './guest/careless.ts'
import { MARK, type Place } from './guest/place.ts'
import type { Step } from './guest/program.ts'

/** An installation, by names instead of devices. */
export interface RecordedInstall {
  /** What marks call it. */
  readonly name: string
  /** Folder of the release's layout, below the shared folder; for a mistake: of its `root.img` and `uki.efi`. */
  readonly release: string
  /** The slot that gets it. */
  readonly slot: 'a' | 'b'
  /** After how many bytes from the source it is broken off. Default: never. */
  readonly breakAtBytes?: number
  /** What is done wrong. Default: nothing. */
  readonly mistake?: Mistake
}

/** A disk with the partitions of a build, and what is done to it. */
export interface RecordedDisk {
  readonly disk: RememberingDisk
  readonly installs: readonly RecordedInstall[]
}

/** The disk's driver, and FAT with the code page and character set that the kernel takes by default. */
const MODULES = ['sd_mod', 'virtio_scsi', 'vfat', 'nls_cp437', 'nls_ascii', 'nls_iso8859_1', 'nls_utf8']

/** Where the guest sees the shared folder. */
const SHARE = '/torture'

/** Carries the installations out in one guest, disk by disk; a signal ends the guest. */
export async function recordInstalls(
  folder: string,
  disks: readonly RecordedDisk[],
  signal?: AbortSignal,
): Promise<void> {
  await bundle(folder)
  await using vm = await boot({
    ...{ backend: 'qemu', modules: MODULES, cpus: CPUS, memoryMiB: 384, timeoutMs: 500_000, append: 'gpt' },
    disks: disks.map(({ disk }, index) => ({ name: `disk${index}`, nbd: disk.uri })),
    shares: [{ host: folder, guest: SHARE }],
    ...(signal === undefined ? {} : { signal }),
  })
  for (const [index, { disk, installs }] of disks.entries()) {
    const device = await vm.device(`disk${index}`)
    await follow(vm, disk, JSON.stringify(installs.map((install) => stepOf(install, device))))
  }
  await vm.poweroff()
}

function stepOf({ name, release, slot, breakAtBytes, mistake }: RecordedInstall, device: string): Step {
  const [target, donor] = slot === 'a' ? [`${device}2`, `${device}3`] : [`${device}3`, `${device}2`]
  const place: Place = { name, slot: `solo-${slot}`, target, donor, esp: `${device}1` }
  const layout = join(SHARE, release)
  if (mistake === undefined)
    return breakAtBytes === undefined ? { ...place, layout } : { ...place, layout, breakAtBytes }
  const runningSlot = slot === 'a' ? 'solo-b' : 'solo-a'
  return { ...place, mistake, runningSlot, root: join(layout, 'root.img'), uki: join(layout, 'uki.efi') }
}

/** Runs the guest's program, whose marks become the log's. */
async function follow(vm: Vm, disk: RememberingDisk, steps: string): Promise<void> {
  const child = await vm.spawn('/bin/bun', [join(SHARE, PROGRAM), steps], { stdin: 'null' })
  let errors = ''
  child.stderr.on('data', (chunk: Buffer) => (errors += chunk.toString()))
  for await (const line of createInterface({ input: child.stdout }))
    if (line.startsWith(MARK)) disk.mark(line.slice(MARK.length))
  const { code } = await child.exited
  if (code !== 0) throw new Error(`the installer in the guest ended with ${code}: ${errors}`)
}

const PROGRAM = 'install.js'

/** The guest has no npm: all that the program is made of goes into one file. */
async function bundle(folder: string): Promise<void> {
  const entry = fileURLToPath(new URL('guest/program.ts', import.meta.url))
  const { outputs } = await Bun.build({ entrypoints: [entry], target: 'bun' })
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, PROGRAM), await (outputs[0] as Blob).text())
}
