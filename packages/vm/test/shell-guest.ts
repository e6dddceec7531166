/** A Linux guest whose PID 1 is a shell that does what the test types at its console. */
import type { QemuMachine } from '../src/qemu.ts'
import { linuxGuest, type LinuxGuest } from './linux-guest.ts'

const MODULES = [
  'virtio_pci',
  'virtio_mmio',
  'virtio_blk',
  'virtio_net',
  'virtio_scsi',
  'sd_mod',
  'virtio_console',
  'virtio_balloon',
]

/** The guest; gone with `using`. It says `shell: ready`, then reads commands. */
export function shellGuest(): Promise<LinuxGuest> {
  const script = 'stty -echo -onlcr\necho "shell: ready"\nwhile read -r line; do eval "$line"; done\n'
  return linuxGuest(script, MODULES)
}

/** Runs a command in the guest: what it printed, with its status when that is not 0. */
export async function ask(vm: QemuMachine, command: string): Promise<string> {
  const from = vm.console.position
  vm.console.write(`${command}; echo "<<$?>>"\n`)
  const match = await vm.console.waitFor(/([^]*)<<(\d+)>>\n/, { from, timeoutMs: 20_000 })
  const text = (match[1] ?? '').trim()
  return match[2] === '0' ? text : `${text} status ${match[2]}`.trim()
}
