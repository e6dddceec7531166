// A machine with UEFI firmware and a disk that stay what they are from boot to boot, and tools of others to look into it.
import { execFileSync } from 'node:child_process'
import { closeSync, copyFileSync, openSync, readSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { startQemu, type QemuMachine } from '@pkg/vm/qemu'
import type { BuildResult, DiskManifest } from '../../src/build.ts'

/** What one boot of a loaded machine may take, and three tries of a slot that fails before it. */
export const BOOT_MS = 300_000

/**
 * Processors of a machine. Translated, a second one costs the host more than it gives the guest: a boot takes 18 s of
 * the host's processors with two, 13 s with one. And two wait for each other for ever now and then (QEMU 7.2).
 */
export const CPUS = 1

const mebibyte = 1024 * 1024

/** A disk and the variables of its firmware. */
export interface Hardware {
  readonly disk: string
  readonly variables: string
}

let machines = 0

/** A new machine below `folder`, with a copy of an image. */
export function hardware(folder: string, image: string): Hardware {
  const at = (name: string): string => join(folder, `${machines}-${name}`)
  machines += 1
  const made = { disk: at('disk.img'), variables: at('variables.fd') }
  execFileSync('cp', ['--sparse=always', image, made.disk])
  copyFileSync('/usr/share/OVMF/OVMF_VARS_4M.fd', made.variables)
  return made
}

/** Switches it on. */
export async function startMachine(
  { disk, variables }: Hardware,
  ...guestPorts: number[]
): Promise<QemuMachine> {
  return await startQemu({
    firmware: { code: '/usr/share/OVMF/OVMF_CODE_4M.fd', variables, writable: true },
    disks: [{ name: 'main', file: disk, writable: true }],
    networks: [{ kind: 'user', forwards: guestPorts.map((guestPort) => ({ hostPort: 0, guestPort })) }],
    cpus: CPUS,
    onReboot: 'restart',
    onPanic: 'ignore',
    timeoutMs: 6 * BOOT_MS,
  })
}

/** Where a partition lies in the image of a build. */
export function partitionOf(build: BuildResult, name: string): DiskManifest['partitions'][number] {
  const found = build.manifest.disk?.partitions.find((each) => each.name === name)
  if (found === undefined) throw new Error(`no partition ${name}`)
  return found
}

/** Runs one of mtools on the boot partition of a disk that `build` made. */
export function mtools(build: BuildResult, disk: string, program: string, ...args: string[]): string {
  const image = `${disk}@@${partitionOf(build, 'esp').startBytes}`
  const env = { ...process.env, MTOOLS_SKIP_CHECK: '1' }
  return execFileSync(program, ['-i', image, ...args], { encoding: 'utf8', env })
}

/** Fills the second slot of a disk that `own` made with another release's root and kernel, as an update leaves them. */
export function fillSlotB(folder: string, disk: string, own: BuildResult, other: BuildResult): void {
  const from = partitionOf(other, 'root-a')
  const [source, target] = [openSync(other.disk ?? '', 'r'), openSync(disk, 'r+')]
  const piece = Buffer.alloc(mebibyte)
  for (let done = 0; done < from.sizeBytes; done += piece.length) {
    readSync(source, piece, 0, piece.length, from.startBytes + done)
    writeSync(target, piece, 0, piece.length, partitionOf(own, 'root-b').startBytes + done)
  }
  closeSync(source)
  closeSync(target)
  const file = join(folder, 'slot-b.efi')
  mtools(other, other.disk ?? '', 'mcopy', '-n', '-o', '::/EFI/Linux/soloa+3-0.efi', file)
  mtools(own, disk, 'mcopy', '-o', file, '::/EFI/Linux/solob+3-0.efi')
}
