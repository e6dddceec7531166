// The forms of one appliance.

/**
 * - `disk`: a disk image that firmware boots, with two slots for updates and a partition for data.
 * - `initramfs`: a kernel and an initramfs that holds everything: for virtual machines, keeps nothing.
 * - `uki`: both in one file that UEFI firmware starts.
 */
export type BuildFormat = 'disk' | 'initramfs' | 'uki'

/** All of them. */
export const buildFormats: readonly BuildFormat[] = ['disk', 'initramfs', 'uki']
