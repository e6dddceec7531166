/** What a guest's agent is asked to do after each boot: shares, and the view of the host's root. */
import { PROGRAM_ROOT } from '../guest/program-root.ts'
import { HOST_ROOT } from '../namespace/setup.ts'
import type { BootOptions } from './options.ts'
import type { Vm } from './vm.ts'

/**
 * How a share comes into the guest: `mounted` by the backend, before the agent starts; by `9p`; or as a `copy`, for
 * kernels that cannot mount it (it is read-only then).
 */
export type ShareKind = 'mounted' | '9p' | 'copy'

/** 9p tag of the share with this number. */
export function shareTag(index: number): string {
  return `share${index}`
}

/** 9p tag of the host's root. */
export const ROOT_TAG = 'root'

/** Mounts what `shares` and `root` ask for. */
export async function bringUp(
  vm: Vm,
  { shares = [], root = 'guest' }: Pick<BootOptions, 'shares' | 'root'>,
  kind: ShareKind,
): Promise<void> {
  if (root === 'host') {
    if (kind === '9p') await vm.mountShare({ type: '9p', source: ROOT_TAG, target: HOST_ROOT })
    await vm.run(layHostRoot, HOST_ROOT, PROGRAM_ROOT)
  }
  for (const [index, { host, guest, writable = false }] of shares.entries()) {
    if (kind === '9p') await vm.mountShare({ type: '9p', source: shareTag(index), target: guest, writable })
    if (kind === 'copy') await vm.copyIn(host, guest)
    if (root === 'host')
      await vm.mountShare({ type: 'bind', source: guest, target: PROGRAM_ROOT + guest, writable })
  }
}

/**
 * Runs in the guest. An overlay over all of the host's root is refused where mounts below it are locked, as they are
 * in a user namespace; then each folder of the root gets its own, or is seen without being changed.
 */
async function layHostRoot(host: string, root: string): Promise<void> {
  const { lstatSync, mkdirSync, readdirSync, readlinkSync, symlinkSync } = await import('node:fs')
  const { mount, mount_bind } = await import('@pkg/sys/mount')
  const changes = `${root}-changes`
  for (const folder of [root, changes]) mkdirSync(folder, { recursive: true })
  // A tmpfs of its own: the guest's root may be an overlay, which cannot be the upper layer of another.
  mount('tmpfs', changes, 'tmpfs', 0, 'mode=0755')
  const cover = (lower: string, target: string, name: string): boolean => {
    const [upper, work] = [`${changes}/${name}-upper`, `${changes}/${name}-work`]
    for (const folder of [upper, work]) mkdirSync(folder)
    try {
      mount('overlay', target, 'overlay', 0, `lowerdir=${lower},upperdir=${upper},workdir=${work}`)
      return true
    } catch {
      return false
    }
  }
  const own = new Set(['proc', 'sys', 'dev', 'tmp', 'run'])
  if (!cover(host, root, '')) {
    mount('tmpfs', root, 'tmpfs', 0, 'mode=0755')
    for (const name of readdirSync(host)) {
      const [lower, target] = [`${host}/${name}`, `${root}/${name}`]
      const stats = lstatSync(lower)
      if (stats.isSymbolicLink()) symlinkSync(readlinkSync(lower), target)
      if (!stats.isDirectory() || own.has(name)) continue
      mkdirSync(target)
      if (!cover(lower, target, name)) mount_bind(lower, target, true)
    }
  }
  for (const name of own) mkdirSync(`${root}/${name}`, { recursive: true })
  for (const folder of ['/proc', '/sys', '/dev']) mount_bind(folder, root + folder, true)
  for (const [folder, mode] of [
    ['/tmp', '1777'],
    ['/run', '0755'],
  ] as const)
    mount('tmpfs', root + folder, 'tmpfs', 0, `mode=${mode}`)
}
