// Which kernel modules an image holds: a set that virtual and common real machines need, what the
// configuration names, and all that those depend on; with the index that init reads.
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { hostFile } from '@pkg/image/file-source'
import { moduleClosure } from '@pkg/image/modules'
import type { FileTree } from '@pkg/image/tree'
import { ConfigError } from '../error.ts'
import { nearest } from '../config/expect.ts'
import { moduleName } from '../kernel/depmod.ts'
import type { Kernel } from '../kernel.ts'

/**
 * In the image when the kernel has them as modules; init loads those that devices ask for by modalias. Names
 * that a kernel lacks are passed over: a cloud kernel has no drivers of real machines.
 */
const defaultModules: readonly string[] = [
  // QEMU, KVM and their like.
  ['virtio_pci', 'virtio_mmio', 'virtio_net', 'virtio_blk', 'virtio_scsi', 'virtio_rng', 'virtio_console'],
  [
    'virtio_balloon',
    'vmw_vsock_virtio_transport',
    'pvpanic_pci',
    'qemu_fw_cfg',
    'vmxnet3',
    'hv_netvsc',
    'ena',
  ],
  // The power button: the ACPI driver makes an input device, evdev makes it readable.
  ['button', 'evdev'],
  // Disks, network cards, USB and watchdogs of common machines.
  ['ahci', 'nvme', 'sd_mod', 'sdhci_pci', 'sdhci_acpi', 'mmc_block', 'usb_storage', 'uas'],
  ['e1000', 'e1000e', 'igb', 'igc', 'r8169', 'tg3', 'xhci_pci', 'ehci_pci', 'usbhid', 'hid_generic'],
  ['i6300esb', 'iTCO_wdt', 'softdog'],
  // File systems that one can come across.
  ['ext4', 'vfat', 'nls_cp437', 'nls_ascii', 'nls_iso8859_1', 'nls_utf8', 'erofs', 'squashfs', 'isofs'],
  ['overlay', 'loop', 'fuse', 'dm_mod', 'dm_verity'],
].flat()

/** What {@link addModules} put into the image. */
export interface AddedModules {
  /** Names, in load order. */
  readonly names: readonly string[]
  /** Firmware that the modules may ask for; it is not in the kernel's package. */
  readonly firmware: readonly string[]
}

/**
 * Adds modules and their index to a tree.
 *
 * @param wanted - what the configuration names; must exist
 * @throws ConfigError naming those that do not
 */
export async function addModules(
  tree: FileTree,
  kernel: Kernel,
  wanted: readonly string[],
): Promise<AddedModules> {
  const folder = kernel.modulesFolder
  if (folder === undefined) {
    if (wanted.length === 0) return { names: [], firmware: [] }
    const message = 'expected kernel.modules with kernel.image, as modules are to be loaded, got no folder'
    throw new ConfigError('solo.config.ts', [{ path: 'modules', message }])
  }
  const available = await availableModules(folder)
  const problems = wanted.flatMap((name, index) => {
    if (available.has(canonical(name))) return []
    const near = nearest(canonical(name), [...available])
    const hint = near === undefined ? '' : `; did you mean "${near}"?`
    return [
      {
        path: `modules[${index}]`,
        message: `expected a module of kernel ${kernel.release}, got "${name}"${hint}`,
      },
    ]
  })
  if (problems.length > 0) throw new ConfigError('solo.config.ts', problems)
  const present = defaultModules.filter((name) => available.has(canonical(name)))
  const closure = await moduleClosure({
    modulesFolder: folder,
    wanted: [...new Set([...wanted, ...present].map(canonical))],
  })
  for (const module of closure.modules) {
    tree.add({ path: module.path, type: 'file', content: await hostFile(module.source) })
  }
  const index = new TextEncoder().encode(`${JSON.stringify(closure.index)}\n`)
  tree.add({ path: `/lib/modules/${kernel.release}/solo-modules.json`, type: 'file', content: index })
  return { names: closure.modules.map(({ name }) => name), firmware: closure.firmware }
}

function canonical(name: string): string {
  return name.replaceAll('-', '_')
}

/** Names of all modules, those that are part of the kernel included. */
async function availableModules(folder: string): Promise<ReadonlySet<string>> {
  const files = await Promise.all(
    ['modules.dep', 'modules.builtin'].map((name) => readFile(join(folder, name), 'utf8').catch(() => '')),
  )
  const paths = files.flatMap((text) => text.split('\n')).map((line) => line.split(':')[0] as string)
  return new Set(paths.filter((path) => path !== '').map(moduleName))
}
