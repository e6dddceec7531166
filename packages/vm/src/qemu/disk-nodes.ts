/**
 * A disk as QEMU's block layer sees it: a stack of nodes. From below: the file or NBD export, its format, an overlay
 * that takes the writes, the brake (throttle), and for failures a filter that is put on top while it is in use.
 */
import type { DiskFault, DiskOptions, DiskThrottle } from './disk-types.ts'

/** A node for `blockdev-add`. */
export type BlockNode = Record<string, unknown> & { driver: string }

/** errno numbers of Linux (asm-generic/errno-base.h); blkdebug takes the host's. */
const ERRNO = { EIO: 5, ENOSPC: 28 } as const

/** What blkdebug calls the kinds of request (QEMU qapi/block-core.json, BlkdebugIOType). */
const IO_TYPE = { read: 'read', write: 'write', flush: 'flush' } as const

/** The protocol node with its format: what is in the image. */
export function imageNode(options: DiskOptions, filename: string, writable: boolean): BlockNode {
  const common = { discard: 'unmap', 'read-only': !writable }
  if (options.nbd !== undefined) return { ...nbdNode(options.nbd), ...common }
  return { driver: options.format ?? 'raw', ...common, file: { driver: 'file', filename, ...common } }
}

/** An overlay file over an image node. */
export function overlayNode(filename: string, image: BlockNode): BlockNode {
  return { driver: 'qcow2', discard: 'unmap', file: { driver: 'file', filename }, backing: image }
}

/** The brake around everything below it; its limits are those of the group. */
export function throttleNode(group: string, below: BlockNode): BlockNode {
  return { driver: 'throttle', 'throttle-group': group, discard: 'unmap', file: below }
}

/** A filter above the node `below` whose requests fail as `faults` say. */
export function faultNode(below: string, faults: readonly DiskFault[]): BlockNode {
  const rules = faults.map(({ on, error = 'EIO', atByte, once = false }) => ({
    // The event of a rule without one: every request passes here.
    event: 'none',
    iotype: IO_TYPE[on],
    errno: ERRNO[error],
    once,
    // At once, not in a callback: QEMU takes the request as failed before it reached the disk.
    immediately: true,
    ...(atByte !== undefined && { sector: atByte / 512 }),
  }))
  return { driver: 'blkdebug', image: below, 'inject-error': rules }
}

/** A throttle group's limits; 0 is no limit. All of them are named: those that are not would stay as they were. */
export function throttleLimits({ iops = 0, bytesPerSecond = 0 }: DiskThrottle): Record<string, number> {
  return { 'iops-total': iops, 'bps-total': bytesPerSecond }
}

/**
 * Reads an NBD address.
 *
 * @throws TypeError it is none
 * @see https://github.com/NetworkBlockDevice/nbd/blob/master/doc/uri.md
 */
export function nbdNode(address: string): BlockNode {
  const url = URL.canParse(address) ? new URL(address) : undefined
  const name = decodeURIComponent(url?.pathname.replace(/^\//, '') ?? '')
  const path = url?.searchParams.get('socket')
  if (url?.protocol === 'nbd+unix:' && path)
    return { driver: 'nbd', server: { type: 'unix', path }, export: name }
  if (url?.protocol === 'nbd:' && url.hostname !== '') {
    const host = url.hostname.replaceAll(/[[\]]/g, '')
    return { driver: 'nbd', server: { type: 'inet', host, port: url.port || '10809' }, export: name }
  }
  throw new TypeError(`nbd: ${address} is neither nbd://HOST:PORT/EXPORT nor nbd+unix:///EXPORT?socket=PATH`)
}
