// Which kernel modules an image holds: a set that virtual and common real machines need, what the
// configuration names, and all that those depend on; with the index that init reads.
import { hostFile } from '@pkg/image/file-source'
import { type ModuleClosure, moduleClosure, ModuleNotFoundError } from '@pkg/image/modules'
import type { FileTree } from '@pkg/image/tree'
import type { Kernel } from '@pkg/vm/kernel'
import type { ApplianceConfig } from '../config.ts'
import { ConfigError } from '../error.ts'
import type { ModuleProfile } from '../stage1/modules.ts'

/** For QEMU, KVM and their like. */
const virtio = [
  ['virtio_pci', 'virtio_mmio', 'virtio_net', 'virtio_blk', 'virtio_scsi', 'virtio_rng', 'virtio_console'],
  ['virtio_balloon', 'vmw_vsock_virtio_transport', 'pvpanic_pci', 'qemu_fw_cfg', 'sd_mod'],
].flat()

/** Network cards and disks of other clouds: VMware, Hyper-V, AWS, Google, Xen. */
const cloud = ['vmxnet3', 'vmw_pvscsi', 'hv_netvsc', 'hv_storvsc', 'ena', 'gve', 'nvme', 'xen_netfront']

/** Disks, network cards, USB and watchdogs of common machines. */
const pc = [
  ['ahci', 'nvme', 'sd_mod', 'sdhci_pci', 'sdhci_acpi', 'mmc_block', 'usb_storage', 'uas'],
  ['e1000', 'e1000e', 'igb', 'igc', 'r8169', 'tg3', 'xhci_pci', 'ehci_pci', 'usbhid', 'hid_generic'],
  ['i6300esb', 'iTCO_wdt'],
].flat()

/** For every machine. */
const common = [
  // The power button: the ACPI driver makes an input device, evdev makes it readable.
  ['button', 'evdev', 'softdog'],
  // File systems that one can come across.
  ['ext4', 'vfat', 'nls_cp437', 'nls_ascii', 'nls_iso8859_1', 'nls_utf8', 'erofs', 'squashfs', 'isofs'],
  ['efivarfs', 'overlay', 'loop', 'fuse', 'dm_mod', 'dm_verity'],
].flat()

/**
 * By profile, what is in the image when the kernel has it as a module; init loads what devices ask for by modalias.
 * Names that a kernel lacks are passed over: a cloud kernel has no drivers of real machines.
 */
const modulesOf: Readonly<Record<ModuleProfile, readonly string[]>> = {
  virtio: [...virtio, ...common],
  cloud: [...virtio, ...cloud, ...common],
  pc: [...virtio, ...pc, ...common],
  all: [...virtio, ...cloud, ...pc, ...common],
}

/** What {@link addModules} put into the image. */
export interface AddedModules {
  /** Names, in load order. */
  readonly names: readonly string[]
  /** Firmware that the modules may ask for; it is not in the kernel's package. */
  readonly firmware: readonly string[]
}

/**
 * Adds modules and their index to a tree: those of the configuration's profile, and those that it names, which must
 * exist.
 *
 * @param configFile - the configuration's file, for messages
 * @throws ConfigError naming those that do not
 */
export async function addModules(
  tree: FileTree,
  kernel: Kernel,
  { modules: wanted = [], profile = 'all' }: ApplianceConfig,
  configFile: string,
): Promise<AddedModules> {
  const folder = kernel.modulesFolder
  if (folder === undefined) {
    if (wanted.length === 0) return { names: [], firmware: [] }
    const message = 'expected kernel.modules with kernel.image, as modules are to be loaded, got no folder'
    throw new ConfigError(configFile, [{ path: 'modules', message }])
  }
  const closure = await closureOf(folder, wanted, modulesOf[profile], kernel.release, configFile)
  for (const module of closure.modules) {
    tree.add({ path: module.path, type: 'file', content: await hostFile(module.source) })
  }
  const index = new TextEncoder().encode(`${JSON.stringify(closure.index)}\n`)
  tree.add({ path: `/lib/modules/${kernel.release}/solo-modules.json`, type: 'file', content: index })
  return {
    names: closure.modules.map(({ name }) => name),
    firmware: closure.firmware.map(({ name }) => name),
  }
}

async function closureOf(
  modulesFolder: string,
  wanted: readonly string[],
  optional: readonly string[],
  release: string,
  configFile: string,
): Promise<ModuleClosure> {
  const unknown = new Map<string, readonly string[]>()
  for (;;) {
    const known = wanted.filter((name) => !unknown.has(name))
    try {
      const closure = await moduleClosure({ modulesFolder, wanted: known, optional, release })
      if (unknown.size === 0) return closure
      break
    } catch (error) {
      // It stops at the first one, but all of them are to be reported.
      if (!(error instanceof ModuleNotFoundError)) throw error
      unknown.set(error.wanted, error.similar)
    }
  }
  const problems = wanted.flatMap((name, index) => {
    const similar = unknown.get(name)
    if (similar === undefined) return []
    const hint = similar.length === 0 ? '' : `; did you mean ${similar.join(' or ')}?`
    return [
      { path: `modules[${index}]`, message: `expected a module of kernel ${release}, got "${name}"${hint}` },
    ]
  })
  throw new ConfigError(configFile, problems)
}
