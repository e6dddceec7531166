// bpf(2): maps, and programs as the verifier takes them.
import {
  BPF_MAP_CREATE,
  BPF_MAP_DELETE_ELEM,
  BPF_MAP_GET_NEXT_KEY,
  BPF_MAP_LOOKUP_AND_DELETE_ELEM,
  BPF_MAP_LOOKUP_ELEM,
  BPF_MAP_UPDATE_ELEM,
  BPF_OBJ_GET_INFO_BY_FD,
  BPF_PROG_ATTACH,
  BPF_PROG_DETACH,
  BPF_PROG_LOAD,
} from './generated/constants/bpf.ts'
import { EBADF, EINVAL } from './generated/constants/errno.ts'
import { check, isError, isSysError, SysError } from './errno.ts'
import { type AsFd, fdNumber, OwnedFd } from './fd.ts'
import { addressOf, bind } from './raw.ts'
import { bytes, cString, fromCString, u32 } from './raw/arguments.ts'
import { alloc, type StructView } from './struct.ts'
import * as structs from './generated/structs/bpf.ts'

const raw = bind('bpf', 'int', 'ptr', 'int')

type Attr = StructView<typeof structs.bpf_attr>

function call(command: number, attr: Attr): number {
  return raw(command, attr.bytes, attr.bytes.length)
}

/** In memory of its own, for its address is stored: a small array of the caller's could move. */
function fixed(source: Uint8Array, sizeBytes = source.length): Uint8Array<ArrayBuffer> {
  const copy = new Uint8Array(new ArrayBuffer(Math.max(sizeBytes, 1)))
  copy.set(source)
  return copy
}

/**
 * A map: a table that programs in the kernel and outside share. Of {@link bpf_map_create} or {@link bpfMapOf}, which know
 * its sizes from the kernel: it reads and writes as much, whatever room there is.
 */
export interface BpfMap {
  /** The descriptor, which the caller owns. */
  readonly fd: OwnedFd
  /** Bytes of a key. */
  readonly keySize: number
  /** Bytes of a value. */
  readonly valueSize: number
}

/** What map to make. */
export interface BpfMapOptions {
  /** BPF_MAP_TYPE_HASH, BPF_MAP_TYPE_ARRAY, BPF_MAP_TYPE_LPM_TRIE …; not those with a value for each processor. */
  map_type: number
  /** Bytes. */
  key_size: number
  /** Bytes. */
  value_size: number
  /** Entries that it has room for. */
  max_entries: number
  /** BPF_F_NO_PREALLOC … */
  map_flags?: number
}

/**
 * `bpf(BPF_MAP_CREATE, attr, size)` — makes a map, close-on-exec. Needs: CAP_BPF, for most kinds.
 *
 * @throws {@link SysError} `EINVAL` sizes that cannot be; `EPERM`
 * @see https://man7.org/linux/man-pages/man2/bpf.2.html
 *
 * @example
 * ```ts no-run
 * import { BPF_MAP_TYPE_HASH } from '@pkg/sys/constants'
 * import { bpf_map_create, bpf_map_lookup_elem, bpf_map_update_elem } from '@pkg/sys/bpf'
 *
 * const map = bpf_map_create({ map_type: BPF_MAP_TYPE_HASH, key_size: 4, value_size: 8, max_entries: 10 })
 * using fd = map.fd
 * bpf_map_update_elem(map, new Uint8Array(4), new Uint8Array(8).fill(1))
 * console.assert(bpf_map_lookup_elem(map, new Uint8Array(4))?.[0] === 1)
 * ```
 */
export function bpf_map_create(options: BpfMapOptions): BpfMap {
  refusePerCpu(options.map_type)
  const attr = alloc(structs.bpf_attr)
  attr.set('map_type', u32(options.map_type, 'map_type'))
  attr.set('key_size', u32(options.key_size, 'key_size') >>> 0)
  attr.set('value_size', u32(options.value_size, 'value_size') >>> 0)
  attr.set('max_entries', u32(options.max_entries, 'max_entries') >>> 0)
  attr.set('map_flags', u32(options.map_flags ?? 0, 'map_flags') >>> 0)
  const fd = new OwnedFd(check(call(BPF_MAP_CREATE, attr), 'bpf'))
  return known(fd, attr.get('key_size'), attr.get('value_size'))
}

/**
 * `bpf(BPF_OBJ_GET_INFO_BY_FD, attr, size)` — the map that a descriptor is of, which another process has made or sent.
 *
 * @param fd - becomes the map's, with its owner
 * @throws {@link SysError} `EINVAL` of no map; `EBADF`; RangeError for a map with a value for each processor
 * @see https://man7.org/linux/man-pages/man2/bpf.2.html
 */
export function bpfMapOf(fd: OwnedFd): BpfMap {
  if (!(fd instanceof OwnedFd)) throw new TypeError('fd must be an OwnedFd')
  // The info of a program has other fields at the same places. A map fails otherwise for a key that is nowhere.
  const lookup = alloc(structs.bpf_attr)
  lookup.set('map_fd', fd.fd)
  const result = call(BPF_MAP_LOOKUP_ELEM, lookup)
  if (result === -EINVAL || result === -EBADF) check(result, 'bpf')
  const info = alloc(structs.bpf_map_info)
  const attr = new DataView(new ArrayBuffer(16))
  attr.setUint32(0, fd.fd, true)
  attr.setUint32(4, info.bytes.length, true)
  attr.setBigUint64(8, BigInt(addressOf(info.bytes)), true)
  check(raw(BPF_OBJ_GET_INFO_BY_FD, attr, attr.byteLength), 'bpf')
  refusePerCpu(info.get('type'))
  return known(fd, info.get('key_size'), info.get('value_size'))
}

/** Maps whose sizes are the kernel's. */
const maps = new WeakSet<BpfMap>()

function known(fd: OwnedFd, keySize: number, valueSize: number): BpfMap {
  const map = Object.freeze({ fd, keySize, valueSize })
  maps.add(map)
  return map
}

/** A value for each processor is larger than value_size says, and the kernel would write past our memory. */
function refusePerCpu(type: number): void {
  const perCpu = new Set([5, 6, 10, 21]) // PERCPU_HASH, PERCPU_ARRAY, LRU_PERCPU_HASH, PERCPU_CGROUP_STORAGE
  if (perCpu.has(type)) throw new RangeError('map_type: maps of processors are not possible here')
}

function knownMap(map: BpfMap): BpfMap {
  if (!maps.has(map)) throw new TypeError('not a map of bpf_map_create or bpfMapOf')
  return map
}

function exactly(data: Uint8Array, sizeBytes: number, name: string): Uint8Array<ArrayBuffer> {
  if (bytes(data, name).length !== sizeBytes)
    throw new RangeError(`${name} has ${data.length} bytes: ${sizeBytes}`)
  return fixed(data)
}

function element(map: BpfMap, key: Uint8Array | null, value: Uint8Array | null, flags = 0): Attr {
  const attr = alloc(structs.bpf_attr)
  attr.set('map_fd', fdNumber(map.fd))
  // Queues and stacks have no keys, and the kernel wants no address of one.
  if (key !== null && map.keySize > 0) attr.set('key', addressOf(key))
  if (value !== null) attr.set('value', addressOf(value))
  attr.set('flags', u32(flags, 'flags'))
  return attr
}

/**
 * `bpf(BPF_MAP_UPDATE_ELEM, attr, size)` — sets the value of a key.
 *
 * @param flags - BPF_ANY, BPF_NOEXIST, BPF_EXIST
 * @throws {@link SysError} `E2BIG` the map is full; `EEXIST`, `ENOENT` by the flags; RangeError for wrong sizes
 */
export function bpf_map_update_elem(map: BpfMap, key: Uint8Array, value: Uint8Array, flags = 0): void {
  const [ours, content] = [exactly(key, knownMap(map).keySize, 'key'), exactly(value, map.valueSize, 'value')]
  check(call(BPF_MAP_UPDATE_ELEM, element(map, ours, content, flags)), 'bpf')
  ours.fill(0) // both are touched after the call, so that they live until then
  content.fill(0)
}

/** `bpf(BPF_MAP_LOOKUP_ELEM, attr, size)` — the value of a key; null when there is none. */
export function bpf_map_lookup_elem(map: BpfMap, key: Uint8Array): Uint8Array | null {
  return valueOf(BPF_MAP_LOOKUP_ELEM, map, key)
}

/**
 * `bpf(BPF_MAP_LOOKUP_AND_DELETE_ELEM, attr, size)` — takes the value of a key out of a map, or the next one of a queue or stack,
 * whose key has no bytes; null when there is none.
 *
 * @throws {@link SysError} `E524` (the kernel's own ENOTSUPP) a map that has no such call, as arrays have none, and hashes
 * before Linux 5.14
 */
export function bpf_map_lookup_and_delete_elem(map: BpfMap, key: Uint8Array): Uint8Array | null {
  return valueOf(BPF_MAP_LOOKUP_AND_DELETE_ELEM, map, key)
}

function valueOf(command: number, map: BpfMap, key: Uint8Array): Uint8Array | null {
  const [ours, value] = [exactly(key, knownMap(map).keySize, 'key'), fixed(new Uint8Array(0), map.valueSize)]
  try {
    check(call(command, element(map, ours, value)), 'bpf')
    return value
  } catch (error) {
    if (isSysError(error, 'ENOENT')) return null
    throw error
  } finally {
    ours.fill(0)
  }
}

/** `bpf(BPF_MAP_DELETE_ELEM, attr, size)` — removes a key; false when there was none. */
export function bpf_map_delete_elem(map: BpfMap, key: Uint8Array): boolean {
  const ours = exactly(key, knownMap(map).keySize, 'key')
  try {
    check(call(BPF_MAP_DELETE_ELEM, element(map, ours, null)), 'bpf')
    return true
  } catch (error) {
    if (isSysError(error, 'ENOENT')) return false
    throw error
  } finally {
    ours.fill(0)
  }
}

/** `bpf(BPF_MAP_GET_NEXT_KEY, attr, size)` — the key after `key`, or the first for null; null after the last. */
export function bpf_map_get_next_key(map: BpfMap, key: Uint8Array | null): Uint8Array | null {
  const ours = key === null ? null : exactly(key, knownMap(map).keySize, 'key')
  const next = fixed(new Uint8Array(0), knownMap(map).keySize)
  try {
    check(call(BPF_MAP_GET_NEXT_KEY, element(map, ours, next)), 'bpf')
    return next
  } catch (error) {
    if (isSysError(error, 'ENOENT')) return null
    throw error
  } finally {
    ours?.fill(0)
  }
}

/** What program to load. */
export interface BpfProgramOptions {
  /** BPF_PROG_TYPE_SOCKET_FILTER, BPF_PROG_TYPE_CGROUP_SKB … */
  prog_type: number
  /** Instructions: an array of `struct bpf_insn`, 8 bytes each. */
  insns: Uint8Array
  /** Some helpers want `GPL`. Default: `MIT`. */
  license?: string
  /** BPF_CGROUP_INET_EGRESS … where the type wants it. */
  expected_attach_type?: number
}

/** Room for what the verifier says. */
const logSize = 65_536

/**
 * `bpf(BPF_PROG_LOAD, attr, size)` — has a program verified and compiled, close-on-exec. Needs: CAP_BPF, and more by type.
 *
 * Blocks: while it is verified, seconds for a large one.
 *
 * @throws {@link SysError} `EACCES`, `EINVAL` the verifier refuses it, with its own words in the message; `EPERM`
 * @see https://man7.org/linux/man-pages/man2/bpf.2.html
 */
export function bpf_prog_load(options: BpfProgramOptions): OwnedFd {
  const { length } = bytes(options.insns, 'insns')
  if (length === 0 || length % 8 !== 0) throw new RangeError(`insns: ${length} bytes are no instructions`)
  const insns = fixed(options.insns)
  const license = fixed(cString(options.license ?? 'MIT', 'license'))
  const log = fixed(new Uint8Array(0), logSize)
  const attr = alloc(structs.bpf_attr)
  attr.set('prog_type', u32(options.prog_type, 'prog_type'))
  attr.set('insn_cnt', length / 8)
  attr.set('insns', addressOf(insns))
  attr.set('license', addressOf(license))
  attr.set('expected_attach_type', u32(options.expected_attach_type ?? 0, 'expected_attach_type'))
  attr.set('log_level', 1)
  attr.set('log_size', logSize)
  attr.set('log_buf', addressOf(log))
  const result = call(BPF_PROG_LOAD, attr)
  license.fill(0)
  insns.fill(0)
  if (!isError(result)) return new OwnedFd(result)
  const detail = fromCString(log).trim().split('\n').slice(-4).join('; ')
  throw new SysError({ errno: -result, syscall: 'bpf', attempt: 'BPF_PROG_LOAD', detail })
}

/**
 * `bpf(BPF_PROG_ATTACH, attr, size)` — has a program run for a cgroup. Needs: CAP_NET_ADMIN or CAP_BPF.
 *
 * @param cgroup - an open folder of cgroup2
 * @param attachType - BPF_CGROUP_INET_INGRESS, BPF_CGROUP_DEVICE …
 * @param flags - BPF_F_ALLOW_MULTI …
 * @throws {@link SysError} `EINVAL` not such a program; `EPERM`
 */
export function bpf_prog_attach(cgroup: AsFd, program: AsFd, attachType: number, flags = 0): void {
  check(call(BPF_PROG_ATTACH, attachment(cgroup, program, attachType, flags)), 'bpf')
}

/** `bpf(BPF_PROG_DETACH, attr, size)` — undoes {@link bpf_prog_attach}. */
export function bpf_prog_detach(cgroup: AsFd, program: AsFd, attachType: number): void {
  check(call(BPF_PROG_DETACH, attachment(cgroup, program, attachType, 0)), 'bpf')
}

/** The struct of attaching: target_fd, attach_bpf_fd, attach_type, attach_flags, 32 bits each. */
function attachment(cgroup: AsFd, program: AsFd, attachType: number, flags: number): Attr {
  const attr = alloc(structs.bpf_attr)
  const words = new Uint32Array(attr.bytes.buffer)
  words.set([fdNumber(cgroup), fdNumber(program), u32(attachType, 'attachType'), u32(flags, 'flags')])
  return attr
}
