/** The kernel modules of a guest, and the index by which its agent loads those that are wanted. */
import { hostFile } from '@pkg/image/file-source'
import { type ClosureModule, type ModuleIndex, moduleClosure } from '@pkg/image/modules'
import type { FileTree } from '@pkg/image/tree'
import { canonicalName, loadOrder } from '../guest/load-order.ts'
import type { Kernel } from '../kernel.ts'

/**
 * Loaded by the agent of QEMU's guests before it looks for its control channel, where the kernel has them as modules:
 * their devices, and what shares, disks and the view of the host's root need. Others have no such devices.
 */
export const LOADED: readonly string[] = [
  ['virtio_pci', 'virtio_mmio', 'virtio_console', 'virtio_rng', 'virtio_scsi', 'virtio_blk', 'virtio_net'],
  ['sd_mod', '9pnet_virtio', '9p', 'overlay'],
].flat()

/** In the image as well, for whoever asks for them. */
const READY: readonly string[] = [
  [
    'virtio_balloon',
    'loop',
    'dm_mod',
    'dm_verity',
    'nbd',
    'dummy',
    'veth',
    'tun',
    'fuse',
    'erofs',
    'squashfs',
  ],
  ['ext4', 'btrfs', 'xfs', 'vfat', 'nls_cp437', 'nls_ascii', 'nls_iso8859_1', 'nls_utf8', 'button', 'evdev'],
  ['vmw_vsock_virtio_transport', 'softdog', 'scsi_debug', 'brd', 'zram'],
].flat()

/** Without these no root image can be mounted: an overlay above EROFS on a virtio disk. */
const ROOT_NEEDS: readonly string[] = ['virtio_blk', 'erofs', 'overlay']

/** What carries virtio devices, of which a kernel may lack one; microvm has the second. */
const TRANSPORTS: readonly string[] = ['virtio_pci', 'virtio_mmio']

/** The modules of a tree. */
export interface GuestModules {
  /** All that are in it. */
  readonly modules: readonly ClosureModule[]
  /** Their index. */
  readonly index: ModuleIndex
}

/**
 * Adds a kernel's modules to a tree.
 *
 * @param wanted - modules to load beside the usual ones; `'all'`: every module is there to be loaded
 * @param usual - which are loaded in any case, as far as the kernel has them
 * @returns what was added; undefined for a kernel without modules
 * @throws ModuleNotFoundError one of `wanted` is not a module of this kernel
 */
export async function addModules(
  tree: FileTree,
  { modulesFolder, release }: Kernel,
  wanted: readonly string[] | 'all',
  usual: readonly string[],
): Promise<GuestModules | undefined> {
  if (modulesFolder === undefined) return undefined
  const named = wanted === 'all' ? [] : wanted
  const optional = wanted === 'all' ? ['*'] : [...LOADED, ...READY]
  const { modules, index } = await moduleClosure({ modulesFolder, release, wanted: named, optional })
  for (const module of modules) {
    tree.add({ path: module.path, type: 'file', content: await hostFile(module.source) })
  }
  const loaded = [...usual, ...named].map(canonicalName).filter((name) => index.modules[name] !== undefined)
  const text = JSON.stringify({ ...index, wanted: loaded })
  const path = `/lib/modules/${release}/solo-modules.json`
  tree.add({ path, type: 'file', content: new TextEncoder().encode(text) })
  return { modules, index }
}

/**
 * The modules by which a kernel can mount a root image, in their order; undefined when it cannot: then it has one of
 * them neither as a module nor built in, or tells nothing of what it has.
 */
export function rootModules({ modules, index }: GuestModules): readonly ClosureModule[] | undefined {
  const builtin = new Set(index.builtin.map(canonicalName))
  const byName = new Map(modules.map((module) => [module.name, module]))
  const isThere = (name: string): boolean => builtin.has(name) || byName.has(name)
  if (!ROOT_NEEDS.every(isThere) || !TRANSPORTS.some(isThere)) return undefined
  const names = loadOrder(
    index,
    [...TRANSPORTS, ...ROOT_NEEDS].filter((name) => byName.has(name)),
  )
  return names.flatMap((name) => byName.get(name) ?? [])
}
