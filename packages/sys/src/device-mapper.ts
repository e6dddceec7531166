// The device mapper: block devices made of others, by typed requests to /dev/mapper/control.
import {
  DM_BUFFER_FULL_FLAG,
  DM_DEV_CREATE,
  DM_DEV_REMOVE,
  DM_DEV_STATUS,
  DM_DEV_SUSPEND,
  DM_LIST_DEVICES,
  DM_NAME_LEN,
  DM_STATUS_TABLE_FLAG,
  DM_SUSPEND_FLAG,
  DM_TABLE_LOAD,
  DM_TABLE_STATUS,
  DM_UUID_LEN,
  DM_VERSION,
  DM_VERSION_MAJOR,
} from './generated/constants/device.ts'
import { check } from './errno.ts'
import { type AsFd, fdNumber } from './fd.ts'
import { bind } from './raw.ts'
import { cString, fromCString, u32 } from './raw/arguments.ts'
import { alloc, type StructView, view } from './struct.ts'
import * as structs from './generated/structs/device.ts'

const raw = bind('ioctl', 'int', 'int', 'ptr')

type Header = StructView<typeof structs.dm_ioctl>

/** A stretch of a mapped device, and what makes it. */
export interface DmTarget {
  /** Where it begins on the mapped device, in sectors of 512 bytes. */
  sector_start: number
  /** Its length in sectors. */
  length: number
  /** `linear`, `verity`, `crypt`, `zero`, `error` … */
  target_type: string
  /** What the target is told, or tells of its status: `/dev/vda 0` for `linear`. */
  params: string
}

/** A mapped device. */
export interface DmDevice {
  /** Its number, as `makedev` gives it: the node is /dev/dm-N, where N is the minor. */
  dev: bigint
  /** DM_READONLY_FLAG, DM_SUSPEND_FLAG, DM_ACTIVE_PRESENT_FLAG, DM_INACTIVE_PRESENT_FLAG … */
  flags: number
  /** By how many it is open. */
  open_count: number
  /** How many targets its table has. */
  target_count: number
  /** Its unique id, or an empty text. */
  uuid: string
}

/** Room for what the kernel answers; when it does not suffice it says so, and gets twice as much. */
const answerSizeBytes = 16_384
const answerSizeBytesMax = 1 << 20

/** A field of a fixed size; the name is the kernel's key for the device. */
function setText(header: Header, field: 'name' | 'uuid', text: string, sizeBytes: number): void {
  const encoded = cString(text, field)
  if (encoded.length > sizeBytes)
    throw new RangeError(`${field} is longer than ${sizeBytes - 1} bytes: ${text}`)
  header.set(field, encoded)
}

function headerOf(name: string, flags: number, extraBytes: number): Header {
  const header = alloc(structs.dm_ioctl, extraBytes)
  // The kernel takes every minor version up to its own.
  header.set('version', [DM_VERSION_MAJOR, 0, 0])
  header.set('data_size', header.bytes.length)
  header.set('data_start', structs.dm_ioctl.size)
  header.set('flags', flags)
  setText(header, 'name', name, DM_NAME_LEN)
  return header
}

function call(control: AsFd, request: number, header: Header, name?: string): Header {
  check(raw(fdNumber(control), request, header.bytes), 'ioctl', name)
  return header
}

function deviceOf(header: Header): DmDevice {
  return {
    dev: header.get('dev'),
    flags: header.get('flags'),
    open_count: header.get('open_count'),
    target_count: header.get('target_count'),
    uuid: fromCString(header.get('uuid')),
  }
}

/** Asks with as much room as the answer needs. */
function ask(control: AsFd, request: number, name: string, flags: number): Header {
  for (let size = answerSizeBytes; ; size *= 2) {
    const header = call(control, request, headerOf(name, flags, size), name)
    if ((header.get('flags') & DM_BUFFER_FULL_FLAG) === 0) return header
    if (size >= answerSizeBytesMax) throw new RangeError(`the device mapper’s answer exceeds ${size} bytes`)
  }
}

/** `ioctl(control, DM_VERSION, dm_ioctl)` — the version of the kernel's interface: major, minor, patch. */
export function ioctl_dm_version(control: AsFd): number[] {
  return call(control, DM_VERSION, headerOf('', 0, 0)).get('version')
}

/**
 * `ioctl(control, DM_DEV_CREATE, dm_ioctl)` — makes a mapped device without a table. Needs: CAP_SYS_ADMIN.
 *
 * @param control - /dev/mapper/control
 * @param uuid - a text of its own, by which others find it
 * @throws {@link SysError} `EBUSY` the name or uuid is taken; `EPERM`
 * @see https://docs.kernel.org/admin-guide/device-mapper/index.html
 *
 * @example
 * ```ts no-run
 * import { AT_FDCWD, O_RDWR } from '@pkg/sys/constants'
 * import { ioctl_dm_dev_create, ioctl_dm_dev_suspend, ioctl_dm_table_load } from '@pkg/sys/device-mapper'
 * import { openat } from '@pkg/sys/fs'
 *
 * using control = openat(AT_FDCWD, '/dev/mapper/control', O_RDWR)
 * ioctl_dm_dev_create(control, 'half')
 * const target = { sector_start: 0, length: 2048, target_type: 'linear', params: '/dev/vdb 2048' }
 * ioctl_dm_table_load(control, 'half', [target])
 * ioctl_dm_dev_suspend(control, 'half', false) // the table comes into force
 * ```
 */
export function ioctl_dm_dev_create(control: AsFd, name: string, uuid = ''): DmDevice {
  const header = headerOf(name, 0, 0)
  setText(header, 'uuid', uuid, DM_UUID_LEN)
  return deviceOf(call(control, DM_DEV_CREATE, header, name))
}

/**
 * `ioctl(control, DM_DEV_REMOVE, dm_ioctl)` — takes a mapped device away. Needs: CAP_SYS_ADMIN.
 *
 * @throws {@link SysError} `EBUSY` somebody has it open; `ENXIO` there is none of that name
 */
export function ioctl_dm_dev_remove(control: AsFd, name: string): void {
  call(control, DM_DEV_REMOVE, headerOf(name, 0, 0), name)
}

/** `ioctl(control, DM_DEV_STATUS, dm_ioctl)` — what a mapped device is; `ENXIO` there is none of that name. */
export function ioctl_dm_dev_status(control: AsFd, name: string): DmDevice {
  return deviceOf(call(control, DM_DEV_STATUS, headerOf(name, 0, 0), name))
}

/**
 * `ioctl(control, DM_DEV_SUSPEND, dm_ioctl)` — holds a device's requests back, or resumes it: then the table that was
 * loaded last comes into force. Blocks: until requests under way are done. Needs: CAP_SYS_ADMIN.
 *
 * @throws {@link SysError} `EINVAL` it has no table; `ENXIO`
 */
export function ioctl_dm_dev_suspend(control: AsFd, name: string, suspend: boolean): void {
  call(control, DM_DEV_SUSPEND, headerOf(name, suspend ? DM_SUSPEND_FLAG : 0, 0), name)
}

/**
 * `ioctl(control, DM_TABLE_LOAD, dm_ioctl)` — gives a device its next table, for {@link ioctl_dm_dev_suspend} to bring
 * into force. Needs: CAP_SYS_ADMIN. Blocks: a target may read its devices.
 *
 * @param flags - DM_READONLY_FLAG, DM_SECURE_DATA_FLAG
 * @throws {@link SysError} `EINVAL` a target refuses what it is told (the kernel's log says why); `ENXIO` no such device
 */
export function ioctl_dm_table_load(
  control: AsFd,
  name: string,
  targets: readonly DmTarget[],
  flags = 0,
): void {
  const encoded = targets.map((target) => ({ target, params: cString(target.params, 'params') }))
  const sizeOf = (params: Uint8Array): number => align(structs.dm_target_spec.size + params.length)
  const targetsSize = encoded.reduce((sum, { params }) => sum + sizeOf(params), 0)
  const header = headerOf(name, u32(flags, 'flags') >>> 0, targetsSize)
  header.set('target_count', targets.length)
  let offset: number = structs.dm_ioctl.size
  for (const { target, params } of encoded) {
    const spec = view(structs.dm_target_spec, header.bytes, offset)
    spec.set('sector_start', target.sector_start)
    spec.set('length', target.length)
    spec.set('next', sizeOf(params))
    spec.set('target_type', cString(target.target_type, 'target_type'))
    header.bytes.set(params, offset + structs.dm_target_spec.size)
    offset += sizeOf(params)
  }
  call(control, DM_TABLE_LOAD, header, name)
}

/** Targets lie at multiples of 8. */
function align(sizeBytes: number): number {
  return Math.ceil(sizeBytes / 8) * 8
}

/**
 * `ioctl(control, DM_TABLE_STATUS, dm_ioctl)` — what the targets of a device say of themselves: `V` for a verity target
 * that has found nothing wrong, `C` for one that has.
 *
 * @param flags - DM_STATUS_TABLE_FLAG: what they were told instead
 * @throws {@link SysError} `ENXIO` there is none of that name
 */
export function ioctl_dm_table_status(control: AsFd, name: string, flags = 0): DmTarget[] {
  const header = ask(control, DM_TABLE_STATUS, name, u32(flags, 'flags') & DM_STATUS_TABLE_FLAG)
  const begin = header.get('data_start')
  const targets: DmTarget[] = []
  let offset = begin
  for (let count = header.get('target_count'); count > 0; count--) {
    const spec = view(structs.dm_target_spec, header.bytes, offset)
    targets.push({
      sector_start: Number(spec.get('sector_start')),
      length: Number(spec.get('length')),
      target_type: fromCString(spec.get('target_type')),
      params: fromCString(header.bytes.subarray(offset + structs.dm_target_spec.size)),
    })
    // Counted from the first target here, and from each target itself where a table is loaded.
    offset = begin + spec.get('next')
  }
  return targets
}

/** `ioctl(control, DM_LIST_DEVICES, dm_ioctl)` — the names and numbers of all mapped devices. */
export function ioctl_dm_list_devices(control: AsFd): { name: string; dev: bigint }[] {
  const header = ask(control, DM_LIST_DEVICES, '', 0)
  const devices: { name: string; dev: bigint }[] = []
  for (let offset = header.get('data_start'); ;) {
    const entry = view(structs.dm_name_list, header.bytes, offset)
    // The list of no devices is one entry of number 0.
    if (entry.get('dev') === 0n) return devices
    const nameOffset = offset + structs.dm_name_list.fields.name[1]
    devices.push({ name: fromCString(header.bytes.subarray(nameOffset)), dev: entry.get('dev') })
    if (entry.get('next') === 0) return devices
    offset += entry.get('next')
  }
}
