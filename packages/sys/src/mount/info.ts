// Asking the kernel about mounts, without reading /proc/self/mountinfo.
import {
  STATMOUNT_FS_TYPE,
  STATMOUNT_MNT_BASIC,
  STATMOUNT_MNT_OPTS,
  STATMOUNT_MNT_POINT,
  STATMOUNT_MNT_ROOT,
  STATMOUNT_SB_BASIC,
  STATMOUNT_SB_SOURCE,
} from '../generated/constants/mount.ts'
import { check, errnoNumber } from '../errno.ts'
import { bind } from '../raw.ts'
import { fromCString, u64 } from '../raw/arguments.ts'
import { alloc, type StructView } from '../struct.ts'
import * as structs from '../generated/structs/mount.ts'

const raw = {
  statmount: bind('statmount', 'ptr', 'ptr', 'int', 'int'),
  listmount: bind('listmount', 'ptr', 'ptr', 'int', 'int'),
}

/** What {@link statmount} says of a mount. */
export interface MountInfo {
  /** Its id, never used again: `stx_mnt_id` with STATX_MNT_ID_UNIQUE. */
  mnt_id: bigint
  /** That of the mount that it is on. */
  mnt_parent_id: bigint
  /** Its id in /proc/self/mountinfo. */
  mnt_id_old: number
  /** MOUNT_ATTR_*. */
  mnt_attr: bigint
  /** MS_SHARED, MS_SLAVE, MS_PRIVATE, MS_UNBINDABLE. */
  mnt_propagation: bigint
  /** Device of the file system. */
  sb_dev_major: number
  sb_dev_minor: number
  /** linux/magic.h. */
  sb_magic: bigint
  /** `ext4` */
  fs_type: string
  /** What of the file system is mounted: `/`. */
  mnt_root: string
  /** Where, as this process's root sees it. */
  mnt_point: string
  /** The file system's own options; empty before Linux 6.11. */
  mnt_opts: string
  /** The device or word that was given; empty before Linux 6.13. */
  sb_source: string
}

const wanted =
  STATMOUNT_SB_BASIC |
  STATMOUNT_MNT_BASIC |
  STATMOUNT_MNT_ROOT |
  STATMOUNT_MNT_POINT |
  STATMOUNT_FS_TYPE |
  STATMOUNT_MNT_OPTS |
  STATMOUNT_SB_SOURCE

/** `struct mnt_id_req`. */
function request(id: bigint, parameter: bigint, namespaceId: bigint): StructView<typeof structs.mnt_id_req> {
  const struct = alloc(structs.mnt_id_req)
  struct.set('size', struct.bytes.length)
  struct.set('mnt_id', u64(id, 'id'))
  struct.set('param', u64(parameter, 'parameter'))
  struct.set('mnt_ns_id', u64(namespaceId, 'namespaceId'))
  return struct
}

/**
 * `statmount(req, buf, bufsize, flags)` — what the kernel knows of a mount. Since: Linux 6.8.
 *
 * @param id - from {@link listmount}, or `stx_mnt_id` with STATX_MNT_ID_UNIQUE
 * @param namespaceId - its mount namespace, from `ioctl_ns_get_mntns_id`; 0n: this one
 * @throws {@link SysError} `ENOENT` no such mount; `EPERM` it is not below this process's root; `ENOSYS`
 * @see https://man7.org/linux/man-pages/man2/statmount.2.html
 *
 * @example
 * ```ts
 * import { LSMT_ROOT } from '@pkg/sys/constants'
 * import { listmount, statmount } from '@pkg/sys/mount'
 *
 * for (const id of listmount(LSMT_ROOT)) {
 *   const { fs_type, mnt_point } = statmount(id)
 *   console.log(fs_type.padEnd(10), mnt_point)
 * }
 * ```
 */
export function statmount(id: bigint, namespaceId = 0n): MountInfo {
  const asked = request(id, BigInt(wanted), namespaceId)
  const EOVERFLOW = errnoNumber('EOVERFLOW')
  for (let room = 4096; ; room *= 2) {
    const struct = alloc(structs.statmount, room)
    const result = raw.statmount(asked.bytes, struct.bytes, struct.bytes.length, 0)
    if (result === -EOVERFLOW && room < 1 << 20) continue
    check(result, 'statmount', String(id))
    return decode(struct)
  }
}

function decode(struct: StructView<typeof structs.statmount>): MountInfo {
  const mask = struct.get('mask')
  const text = (
    field: 'fs_type' | 'mnt_root' | 'mnt_point' | 'mnt_opts' | 'sb_source',
    bit: number,
  ): string => {
    if ((mask & BigInt(bit)) === 0n) return ''
    return fromCString(struct.bytes.subarray(structs.statmount.size + struct.get(field)))
  }
  return {
    mnt_id: struct.get('mnt_id'),
    mnt_parent_id: struct.get('mnt_parent_id'),
    mnt_id_old: struct.get('mnt_id_old'),
    mnt_attr: struct.get('mnt_attr'),
    mnt_propagation: struct.get('mnt_propagation'),
    sb_dev_major: struct.get('sb_dev_major'),
    sb_dev_minor: struct.get('sb_dev_minor'),
    sb_magic: struct.get('sb_magic'),
    fs_type: text('fs_type', STATMOUNT_FS_TYPE),
    mnt_root: text('mnt_root', STATMOUNT_MNT_ROOT),
    mnt_point: text('mnt_point', STATMOUNT_MNT_POINT),
    mnt_opts: text('mnt_opts', STATMOUNT_MNT_OPTS),
    sb_source: text('sb_source', STATMOUNT_SB_SOURCE),
  }
}

/** Ids taken from the kernel at once. */
const idsPerCall = 256

/**
 * `listmount(req, mnt_ids, nr_mnt_ids, flags)` — the ids of the mounts below one. Since: Linux 6.8.
 *
 * @param id - LSMT_ROOT for all of the namespace
 * @param namespaceId - the mount namespace, from `ioctl_ns_get_mntns_id`; 0n: this one
 * @throws {@link SysError} `ENOENT` no such mount; `EPERM`; `ENOSYS`
 * @see https://man7.org/linux/man-pages/man2/listmount.2.html
 */
export function* listmount(id: bigint, namespaceId = 0n): Generator<bigint, void, void> {
  const ids = new BigUint64Array(new ArrayBuffer(8 * idsPerCall))
  let last = 0n
  for (;;) {
    const asked = request(id, last, namespaceId)
    const count = check(raw.listmount(asked.bytes, ids, idsPerCall, 0), 'listmount')
    const found = [...ids.subarray(0, count)]
    yield* found
    if (count < idsPerCall) return
    last = found.at(-1) ?? 0n
  }
}
