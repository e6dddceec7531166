// Extended attributes of files: by path, by link, by descriptor, and relative to a folder.
import { errnoNumber, check } from './errno.ts'
import { checkMeaning } from './errno/check-meaning.ts'
import { type AsFd, dirfdNumber, fdNumber } from './fd.ts'
import { addressOf, bind } from './raw.ts'
import { bytes, cString, u32 } from './raw/arguments.ts'
import { alloc } from './struct.ts'
import * as structs from './generated/structs/file.ts'

const raw = {
  setxattr: bind('setxattr', 'ptr', 'ptr', 'ptr', 'int', 'int'),
  lsetxattr: bind('lsetxattr', 'ptr', 'ptr', 'ptr', 'int', 'int'),
  fsetxattr: bind('fsetxattr', 'int', 'ptr', 'ptr', 'int', 'int'),
  setxattrat: bind('setxattrat', 'int', 'ptr', 'int', 'ptr', 'ptr', 'int'),
  getxattr: bind('getxattr', 'ptr', 'ptr', 'ptr', 'int'),
  lgetxattr: bind('lgetxattr', 'ptr', 'ptr', 'ptr', 'int'),
  fgetxattr: bind('fgetxattr', 'int', 'ptr', 'ptr', 'int'),
  getxattrat: bind('getxattrat', 'int', 'ptr', 'int', 'ptr', 'ptr', 'int'),
  listxattr: bind('listxattr', 'ptr', 'ptr', 'int'),
  llistxattr: bind('llistxattr', 'ptr', 'ptr', 'int'),
  flistxattr: bind('flistxattr', 'int', 'ptr', 'int'),
  listxattrat: bind('listxattrat', 'int', 'ptr', 'int', 'ptr', 'int'),
  removexattr: bind('removexattr', 'ptr', 'ptr'),
  lremovexattr: bind('lremovexattr', 'ptr', 'ptr'),
  fremovexattr: bind('fremovexattr', 'int', 'ptr'),
  removexattrat: bind('removexattrat', 'int', 'ptr', 'int', 'ptr'),
}

/** The kernel's XATTR_SIZE_MAX and XATTR_LIST_MAX (linux/limits.h), both 64 KiB. */
const sizeMax = 65_536

/** Which attributes need a capability, by how their names begin (xattr(7)). */
const meanings = [
  ['trusted.', 'xattr_trusted'],
  ['security.capability', 'xattr_capability'],
] as const

/** EPERM of other attributes says that the file is no place for them. */
function checkNamed(result: number, syscall: string, name: string, path: string): void {
  const meaning = meanings.find(([prefix]) => name.startsWith(prefix))?.[1] ?? syscall
  checkMeaning(result, syscall, meaning, path)
}

/**
 * `setxattr(path, name, value, size, flags)` — sets an attribute of the file that `path` leads to.
 *
 * @param name - with its namespace: `user.mime`, `security.capability`, `trusted.overlay.opaque` …
 * @param flags - XATTR_CREATE, XATTR_REPLACE; default: both may happen
 * @throws {@link SysError} `EOPNOTSUPP` the file system keeps no such; `EEXIST`, `ENODATA` by the flags; `EPERM`
 * @see https://man7.org/linux/man-pages/man2/setxattr.2.html
 *
 * @example
 * ```ts
 * import { writeFileSync } from 'node:fs'
 * import { getxattr, listxattr, setxattr } from '@pkg/sys/xattr'
 *
 * writeFileSync('file', '')
 * setxattr('file', 'user.colour', new TextEncoder().encode('blue'))
 * console.assert(listxattr('file').includes('user.colour'))
 * console.assert(new TextDecoder().decode(getxattr('file', 'user.colour')) === 'blue')
 * ```
 */
export function setxattr(path: string, name: string, value: Uint8Array, flags = 0): void {
  const at = cString(path)
  const result = raw.setxattr(
    at,
    cString(name, 'name'),
    bytes(value, 'value'),
    value.length,
    u32(flags, 'flags'),
  )
  checkNamed(result, 'setxattr', name, path)
}

/** `lsetxattr(path, name, value, size, flags)` — {@link setxattr} of a symbolic link itself. */
export function lsetxattr(path: string, name: string, value: Uint8Array, flags = 0): void {
  const at = cString(path)
  const result = raw.lsetxattr(
    at,
    cString(name, 'name'),
    bytes(value, 'value'),
    value.length,
    u32(flags, 'flags'),
  )
  checkNamed(result, 'lsetxattr', name, path)
}

/** `fsetxattr(fd, name, value, size, flags)` — {@link setxattr} of an open file. */
export function fsetxattr(fd: AsFd, name: string, value: Uint8Array, flags = 0): void {
  const at = fdNumber(fd)
  const result = raw.fsetxattr(
    at,
    cString(name, 'name'),
    bytes(value, 'value'),
    value.length,
    u32(flags, 'flags'),
  )
  checkNamed(result, 'fsetxattr', name, name)
}

/**
 * `setxattrat(dirfd, path, at_flags, name, args, size)` — {@link setxattr} relative to a folder. Since: Linux 6.13.
 *
 * @param atFlags - AT_SYMLINK_NOFOLLOW, AT_EMPTY_PATH
 * @throws {@link SysError} as {@link setxattr}; `ENOSYS` an older kernel
 */
export function setxattrat(
  dirfd: AsFd,
  path: string,
  atFlags: number,
  name: string,
  value: Uint8Array,
  flags = 0,
): void {
  // In memory of its own, for its address is stored.
  const memory = new Uint8Array(new ArrayBuffer(bytes(value, 'value').length + 1))
  memory.set(value)
  const args = xattrArguments(memory, value.length, u32(flags, 'flags'))
  const at = dirfdNumber(dirfd)
  const result = raw.setxattrat(
    at,
    cString(path),
    u32(atFlags, 'atFlags'),
    cString(name, 'name'),
    args,
    args.length,
  )
  checkNamed(result, 'setxattrat', name, path)
  memory.fill(0) // touched after the call, so that it lives until then
}

/** `struct xattr_args` (linux/xattr.h). */
function xattrArguments(memory: Uint8Array, sizeBytes: number, flags: number): Uint8Array {
  const args = alloc(structs.xattr_args)
  args.set('value', memory.length === 0 ? 0 : addressOf(memory))
  args.set('size', sizeBytes)
  args.set('flags', flags >>> 0)
  return args.bytes
}

/**
 * Calls with no room to learn the size and then with that much; the attribute may grow in between.
 *
 * @param call - the kernel's number for a buffer; the size for an empty one
 */
function readAll(
  call: (buffer: Uint8Array<ArrayBuffer>) => number,
  syscall: string,
  path: string,
): Uint8Array {
  const ERANGE = errnoNumber('ERANGE')
  for (;;) {
    const size = check(call(new Uint8Array(new ArrayBuffer(0))), syscall, path)
    const buffer = new Uint8Array(new ArrayBuffer(Math.min(size + 64, sizeMax)))
    const result = call(buffer)
    if (result !== -ERANGE) return buffer.slice(0, check(result, syscall, path))
  }
}

/**
 * `getxattr(path, name, value, size)` — the value of an attribute.
 *
 * @throws {@link SysError} `ENODATA` there is none; `EOPNOTSUPP` the file system keeps none
 * @see https://man7.org/linux/man-pages/man2/getxattr.2.html
 */
export function getxattr(path: string, name: string): Uint8Array {
  const at = cString(path)
  const attribute = cString(name, 'name')
  return readAll((buffer) => raw.getxattr(at, attribute, buffer, buffer.length), 'getxattr', path)
}

/** `lgetxattr(path, name, value, size)` — {@link getxattr} of a symbolic link itself. */
export function lgetxattr(path: string, name: string): Uint8Array {
  const at = cString(path)
  const attribute = cString(name, 'name')
  return readAll((buffer) => raw.lgetxattr(at, attribute, buffer, buffer.length), 'lgetxattr', path)
}

/** `fgetxattr(fd, name, value, size)` — {@link getxattr} of an open file. */
export function fgetxattr(fd: AsFd, name: string): Uint8Array {
  const at = fdNumber(fd)
  const attribute = cString(name, 'name')
  return readAll((buffer) => raw.fgetxattr(at, attribute, buffer, buffer.length), 'fgetxattr', name)
}

/** `getxattrat(dirfd, path, at_flags, name, args, size)` — {@link getxattr} relative to a folder. Since: Linux 6.13. */
export function getxattrat(dirfd: AsFd, path: string, atFlags: number, name: string): Uint8Array {
  const at = dirfdNumber(dirfd)
  const [place, flags, attribute] = [cString(path), u32(atFlags, 'atFlags'), cString(name, 'name')]
  const call = (buffer: Uint8Array): number => {
    const args = xattrArguments(buffer, buffer.length, 0)
    return raw.getxattrat(at, place, flags, attribute, args, args.length)
  }
  return readAll(call, 'getxattrat', path)
}

function names(list: Uint8Array): string[] {
  return new TextDecoder().decode(list).split('\0').slice(0, -1)
}

/**
 * `listxattr(path, list, size)` — the names of a file's attributes.
 *
 * @throws {@link SysError} `ENOENT`; `E2BIG` more than 64 KiB of names
 * @see https://man7.org/linux/man-pages/man2/listxattr.2.html
 */
export function listxattr(path: string): string[] {
  const at = cString(path)
  return names(readAll((buffer) => raw.listxattr(at, buffer, buffer.length), 'listxattr', path))
}

/** `llistxattr(path, list, size)` — {@link listxattr} of a symbolic link itself. */
export function llistxattr(path: string): string[] {
  const at = cString(path)
  return names(readAll((buffer) => raw.llistxattr(at, buffer, buffer.length), 'llistxattr', path))
}

/** `flistxattr(fd, list, size)` — {@link listxattr} of an open file. */
export function flistxattr(fd: AsFd): string[] {
  const at = fdNumber(fd)
  return names(readAll((buffer) => raw.flistxattr(at, buffer, buffer.length), 'flistxattr', String(at)))
}

/** `listxattrat(dirfd, path, at_flags, list, size)` — {@link listxattr} relative to a folder. Since: Linux 6.13. */
export function listxattrat(dirfd: AsFd, path: string, atFlags: number): string[] {
  const at = dirfdNumber(dirfd)
  const [place, flags] = [cString(path), u32(atFlags, 'atFlags')]
  return names(
    readAll((buffer) => raw.listxattrat(at, place, flags, buffer, buffer.length), 'listxattrat', path),
  )
}

/**
 * `removexattr(path, name)` — removes an attribute.
 *
 * @throws {@link SysError} `ENODATA` there is none
 * @see https://man7.org/linux/man-pages/man2/removexattr.2.html
 */
export function removexattr(path: string, name: string): void {
  checkNamed(raw.removexattr(cString(path), cString(name, 'name')), 'removexattr', name, path)
}

/** `lremovexattr(path, name)` — {@link removexattr} of a symbolic link itself. */
export function lremovexattr(path: string, name: string): void {
  checkNamed(raw.lremovexattr(cString(path), cString(name, 'name')), 'lremovexattr', name, path)
}

/** `fremovexattr(fd, name)` — {@link removexattr} of an open file. */
export function fremovexattr(fd: AsFd, name: string): void {
  checkNamed(raw.fremovexattr(fdNumber(fd), cString(name, 'name')), 'fremovexattr', name, name)
}

/** `removexattrat(dirfd, path, at_flags, name)` — {@link removexattr} relative to a folder. Since: Linux 6.13. */
export function removexattrat(dirfd: AsFd, path: string, atFlags: number, name: string): void {
  const at = dirfdNumber(dirfd)
  const result = raw.removexattrat(at, cString(path), u32(atFlags, 'atFlags'), cString(name, 'name'))
  checkNamed(result, 'removexattrat', name, path)
}
