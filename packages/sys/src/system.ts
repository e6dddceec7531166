// The machine: what it is, its log, its randomness, its accounts.
import { check } from './errno.ts'
import { bind } from './raw.ts'
import { bytes, cString, fromCString, optionalCString, size, u32 } from './raw/arguments.ts'
import { alloc } from './struct.ts'
import * as structs from './generated/structs/system.ts'

const raw = {
  uname: bind('uname', 'ptr'),
  sethostname: bind('sethostname', 'ptr', 'int'),
  setdomainname: bind('setdomainname', 'ptr', 'int'),
  sysinfo: bind('sysinfo', 'ptr'),
  getrandom: bind('getrandom', 'ptr', 'int', 'int'),
  syslog: bind('syslog', 'int', 'ptr', 'int'),
  acct: bind('acct', 'ptr'),
  lsmListModules: bind('lsm_list_modules', 'ptr', 'ptr', 'int'),
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
 * @throws {@link SysError} `EINVAL` more than 64 bytes; `EPERM`; TypeError for what is no text, or has a NUL
 * @see https://man7.org/linux/man-pages/man2/sethostname.2.html
 */
export function sethostname(name: string): void {
  const encoded = cString(name, 'name')
  check(raw.sethostname(encoded, encoded.length - 1), 'sethostname', name)
}

/** `setdomainname(name, len)` — sets the NIS domain's name. Needs: CAP_SYS_ADMIN. */
export function setdomainname(name: string): void {
  const encoded = cString(name, 'name')
  check(raw.setdomainname(encoded, encoded.length - 1), 'setdomainname', name)
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

/**
 * `getrandom(buf, size, flags)` — fills `buffer` with random bytes.
 *
 * Blocks: until the kernel has gathered enough once after boot, unless GRND_NONBLOCK.
 *
 * @param flags - GRND_NONBLOCK, GRND_INSECURE (does not wait), GRND_RANDOM
 * @throws {@link SysError} `EAGAIN` not yet; `EINTR`
 * @see https://man7.org/linux/man-pages/man2/getrandom.2.html
 */
export function getrandom(buffer: Uint8Array, flags = 0): void {
  const options = u32(flags, 'flags')
  // At most 256 bytes come whole (random(4)); a longer read may be cut by a signal.
  for (let done = 0; done < bytes(buffer).length;) {
    const rest = buffer.subarray(done)
    done += check(raw.getrandom(rest, rest.length, options), 'getrandom')
  }
}

/** linux/syslog.h: actions of {@link syslog_read_all} and its like. */
const syslogAction = { readAll: 3, clear: 5, consoleLevel: 8, sizeUnread: 9, sizeBuffer: 10 }

/**
 * `syslog(SYSLOG_ACTION_READ_ALL, buf, size)` — the last `sizeMax` bytes of the kernel's log. Needs: CAP_SYSLOG where
 * /proc/sys/kernel/dmesg_restrict is 1.
 *
 * @throws {@link SysError} `EPERM`
 * @see https://man7.org/linux/man-pages/man2/syslog.2.html
 */
export function syslog_read_all(sizeMax: number = syslog_size_buffer()): string {
  const buffer = new Uint8Array(new ArrayBuffer(size(sizeMax, 'sizeMax')))
  const count = check(raw.syslog(syslogAction.readAll, buffer, buffer.length), 'syslog')
  return new TextDecoder().decode(buffer.subarray(0, count))
}

/** `syslog(SYSLOG_ACTION_SIZE_BUFFER)` — bytes that the kernel's log has room for. */
export function syslog_size_buffer(): number {
  return check(raw.syslog(syslogAction.sizeBuffer, null, 0), 'syslog')
}

/**
 * `syslog(SYSLOG_ACTION_CONSOLE_LEVEL, NULL, level)` — messages of a lower number than `level` go to the console too.
 * Needs: CAP_SYSLOG.
 *
 * @param level - 1 … 8
 * @throws {@link SysError} `EINVAL`; `EPERM`
 */
export function syslog_console_level(level: number): void {
  check(raw.syslog(syslogAction.consoleLevel, null, u32(level, 'level')), 'syslog')
}

/**
 * `acct(filename)` — has a record of every process that ends written to a file; null ends that. Needs: CAP_SYS_PACCT.
 *
 * @throws {@link SysError} `EACCES` no regular file; `EPERM`; `ENOSYS`
 * @see https://man7.org/linux/man-pages/man2/acct.2.html
 */
export function acct(path: string | null): void {
  check(raw.acct(optionalCString(path, 'path')), 'acct', path ?? undefined)
}

/**
 * `lsm_list_modules(ids, size, flags)` — the security modules that the kernel asks, in order: LSM_ID_*. Since: Linux 6.8.
 *
 * @throws {@link SysError} `ENOSYS` an older kernel
 * @see https://docs.kernel.org/userspace-api/lsm.html
 */
export function lsm_list_modules(): number[] {
  const ids = new BigUint64Array(new ArrayBuffer(8 * 64))
  const sizeBytes = new Uint32Array(new ArrayBuffer(4)).fill(ids.byteLength)
  const count = check(raw.lsmListModules(ids, sizeBytes, 0), 'lsm_list_modules')
  return [...ids.subarray(0, count)].map(Number)
}
