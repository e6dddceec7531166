// What machine this is.
import { check } from './errno.ts'
import { bind } from './raw.ts'
import { fromCString } from './raw/arguments.ts'
import { alloc } from './struct.ts'
import * as structs from './structs.ts'

const raw = {
  uname: bind('uname', 'ptr'),
  sethostname: bind('sethostname', 'ptr', 'int'),
  setdomainname: bind('setdomainname', 'ptr', 'int'),
  sysinfo: bind('sysinfo', 'ptr'),
}

/** What {@link uname} says: the fields of `struct new_utsname`. */
export interface Utsname {
  /** `Linux` */
  sysname: string
  /** The host's name. */
  nodename: string
  /** The kernel's version: `6.1.0-41-cloud-amd64`. */
  release: string
  /** When and how it was built. */
  version: string
  /** `x86_64`, `aarch64` */
  machine: string
  /** The NIS domain; `(none)` where none is set. */
  domainname: string
}

/**
 * `uname(buf)` — the kernel's name and version, the machine's kind and name.
 *
 * @see https://man7.org/linux/man-pages/man2/uname.2.html
 *
 * @example
 * ```ts
 * import { uname } from '@pkg/sys/system'
 *
 * console.assert(uname().sysname === 'Linux')
 * ```
 */
export function uname(): Utsname {
  const result = alloc(structs.new_utsname)
  check(raw.uname(result.bytes), 'uname')
  return {
    sysname: fromCString(result.get('sysname')),
    nodename: fromCString(result.get('nodename')),
    release: fromCString(result.get('release')),
    version: fromCString(result.get('version')),
    machine: fromCString(result.get('machine')),
    domainname: fromCString(result.get('domainname')),
  }
}

/**
 * `sethostname(name, len)` — names the host. Needs: CAP_SYS_ADMIN.
 *
 * @throws {@link SysError} `EINVAL` more than 64 bytes; `EPERM`
 * @see https://man7.org/linux/man-pages/man2/sethostname.2.html
 */
export function sethostname(name: string): void {
  const encoded = new TextEncoder().encode(name)
  check(raw.sethostname(encoded, encoded.length), 'sethostname', name)
}

/** `setdomainname(name, len)` — sets the NIS domain's name. Needs: CAP_SYS_ADMIN. */
export function setdomainname(name: string): void {
  const encoded = new TextEncoder().encode(name)
  check(raw.setdomainname(encoded, encoded.length), 'setdomainname', name)
}

/** What {@link sysinfo} says. */
export interface Sysinfo {
  /** Seconds since the kernel started. */
  uptime: number
  /** Load averages over 1, 5 and 15 minutes. */
  loads: [number, number, number]
  /** Bytes. */
  totalram: number
  /** Bytes of memory that nothing uses, not even caches. */
  freeram: number
  /** Bytes of shared memory and tmpfs. */
  sharedram: number
  /** Bytes of buffers of block devices. */
  bufferram: number
  /** Bytes of swap. */
  totalswap: number
  /** Bytes of swap that nothing uses. */
  freeswap: number
  /** Threads in all. */
  procs: number
}

/** Loads are fixed-point numbers with 16 bits of fraction (`SI_LOAD_SHIFT`, linux/sysinfo.h). */
const loadUnit = 65_536

/**
 * `sysinfo(info)` — uptime, load and memory.
 *
 * @see https://man7.org/linux/man-pages/man2/sysinfo.2.html
 */
export function sysinfo(): Sysinfo {
  const result = alloc(structs.sysinfo)
  check(raw.sysinfo(result.bytes), 'sysinfo')
  const unit = result.get('mem_unit')
  const sizeBytes = (
    field: 'totalram' | 'freeram' | 'sharedram' | 'bufferram' | 'totalswap' | 'freeswap',
  ): number => Number(result.get(field)) * unit
  const [one = 0n, five = 0n, fifteen = 0n] = result.get('loads')
  return {
    uptime: Number(result.get('uptime')),
    loads: [Number(one) / loadUnit, Number(five) / loadUnit, Number(fifteen) / loadUnit],
    totalram: sizeBytes('totalram'),
    freeram: sizeBytes('freeram'),
    sharedram: sizeBytes('sharedram'),
    bufferram: sizeBytes('bufferram'),
    totalswap: sizeBytes('totalswap'),
    freeswap: sizeBytes('freeswap'),
    procs: result.get('procs'),
  }
}
