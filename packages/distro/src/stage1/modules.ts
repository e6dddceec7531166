// The kernel modules that stage 1 loads: what carries disks, what makes a root of them, and a watchdog.

/** Which machines an appliance is for. */
export type ModuleProfile = 'virtio' | 'cloud' | 'pc' | 'all'

/**
 * What every root needs, and efivarfs, by which the loader tells its disk. dm-verity asks for its digest by name, and there is no modprobe for it to find one: it takes the
 * fastest that is there, by the instructions of the processor where it has such.
 */
const root = [
  'dm_mod',
  'sha256_ssse3',
  'sha2_ce',
  'sha256_arm64',
  'sha256_generic',
  'dm_verity',
  'erofs',
  'efivarfs',
]

const virtio = ['virtio_pci', 'virtio_mmio', 'virtio_blk', 'virtio_scsi', 'sd_mod']

/** Disks of the large clouds: Xen, Hyper-V, VMware, and NVMe of AWS and Google. */
const cloud = ['xen_blkfront', 'hv_storvsc', 'vmw_pvscsi', 'nvme']

/** Disks of PCs: SATA and older, NVMe also behind Intel's VMD, USB sticks and boxes, cards. */
const pc = [
  ['ahci', 'ata_piix', 'ata_generic', 'sd_mod', 'nvme', 'vmd'],
  ['xhci_pci', 'ehci_pci', 'ohci_pci', 'uhci_hcd', 'usb_storage', 'uas'],
  ['sdhci_pci', 'sdhci_acpi', 'mmc_block'],
].flat()

/**
 * Hardware first: `/dev/watchdog` is the one that was registered first. softdog is a timer of the kernel's, which
 * resets a machine whose userland hangs, but not one whose kernel does.
 */
const watchdogs = ['i6300esb', 'iTCO_wdt', 'sp5100_tco', 'softdog']

/**
 * By profile, names for `moduleClosure` of `@pkg/image/modules`, as `optional`: kernels have some of them built in and
 * lack others.
 */
export const stage1ModulesOf: Readonly<Record<ModuleProfile, readonly string[]>> = {
  virtio: unique(virtio, root, watchdogs),
  cloud: unique(virtio, cloud, root, watchdogs),
  pc: unique(virtio, pc, root, watchdogs),
  all: unique(virtio, cloud, pc, root, watchdogs),
}

/** For every machine: those of the profile `all`. */
export const stage1Modules: readonly string[] = stage1ModulesOf.all

function unique(...lists: readonly (readonly string[])[]): readonly string[] {
  return [...new Set(lists.flat())]
}
