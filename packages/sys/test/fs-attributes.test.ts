// Opening by rules and handles, and attributes of files, beside node:fs and stat(1).
import { execFileSync } from 'node:child_process'
import {
  lstatSync,
  mkdirSync,
  mkdtempSync,
  realpathSync,
  renameSync,
  rmSync,
  statfsSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import * as c from '../src/constants.ts'
import { AT_FDCWD } from '../src/constants.ts'
import type { OwnedFd } from '../src/fd.ts'
import * as fs from '../src/fs.ts'
import { fcntl, read } from '../src/io.ts'
import { alloc } from '../src/struct.ts'
import * as structs from '../src/structs.ts'
import * as xattr from '../src/xattr.ts'
import { scriptResult } from './child-script.ts'

let path = ''
let folder: OwnedFd
beforeEach(() => {
  path = mkdtempSync(join(realpathSync(tmpdir()), 'solo-attributes-'))
  folder = fs.openat(AT_FDCWD, path, c.O_DIRECTORY)
  writeFileSync(join(path, 'file'), 'content', { mode: 0o644 })
  symlinkSync('file', join(path, 'link'))
})
afterEach(() => {
  folder.close()
  rmSync(path, { recursive: true })
})
function codeOf(action: () => unknown): unknown {
  try {
    return action()
  } catch (error) {
    return (error as { code?: string }).code ?? (error as Error).name
  }
}
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
const text = (buffer: Uint8Array): string => new TextDecoder().decode(buffer)

describe('opening', () => {
  test('openat2() keeps the path where its rules say', () => {
    mkdirSync(join(path, 'sub'))
    symlinkSync('/etc/passwd', join(path, 'absolute'))
    using file = fs.openat2(folder, 'file', { flags: c.O_RDONLY, resolve: c.RESOLVE_BENEATH })
    expect(fcntl(file, c.F_GETFD, 0)).toBe(1)
    expect(read(file, new Uint8Array(16))).toBe(7)
    const open = (name: string, resolve: number): unknown =>
      codeOf(() => fs.openat2(folder, name, { flags: c.O_RDONLY, resolve })[Symbol.dispose]())
    expect(open('../../etc/passwd', c.RESOLVE_BENEATH)).toBe('EXDEV')
    expect(open('absolute', c.RESOLVE_BENEATH)).toBe('EXDEV')
    expect(open('absolute', c.RESOLVE_IN_ROOT)).toBe('ENOENT')
    expect(open('link', c.RESOLVE_NO_SYMLINKS)).toBe('ELOOP')
    expect(open('link', 0)).toBeUndefined()
    using made = fs.openat2(folder, 'new', { flags: c.O_CREAT | c.O_WRONLY, mode: 0o600 })
    expect(statSync(join(path, 'new')).mode & 0o777).toBe(0o600)
    expect(made.fd).toBeGreaterThan(2)
    expect(codeOf(() => fs.openat2(folder, 'new', { flags: 0x4000_0000 }))).toBe('EINVAL')
  })

  test('name_to_handle_at() and open_by_handle_at() find a file after it was renamed', () => {
    const handle = fs.name_to_handle_at(folder, 'file')
    renameSync(join(path, 'file'), join(path, 'renamed'))
    using found = fs.open_by_handle_at(folder, handle, c.O_RDONLY)
    const buffer = new Uint8Array(16)
    expect(text(buffer.subarray(0, read(found, buffer)))).toBe('content')
    const mounts = execFileSync('cat', ['/proc/self/mountinfo'], { encoding: 'utf8' })
    expect(mounts).toMatch(new RegExp(`^${handle.mount_id} `, 'm'))
    expect(
      codeOf(() => fs.open_by_handle_at(folder, { handle_type: 99, f_handle: new Uint8Array(8) }, 0)),
    ).toBe('ESTALE')
    expect(() => fs.open_by_handle_at(folder, { ...handle, f_handle: new Uint8Array(200) }, 0)).toThrow(
      RangeError,
    )
  })

  test('name_to_handle_at() gives the unique number of a mount as statmount() takes it', () => {
    // Since Linux 6.12.
    const { mount_id } = fs.name_to_handle_at(folder, 'file', c.AT_HANDLE_MNT_ID_UNIQUE)
    expect(mount_id).toBeGreaterThanOrEqual(2 ** 31)
    const asked = fs.statx(folder, 'file', 0, c.STATX_MNT_ID_UNIQUE)
    expect(asked.stx_mnt_id).toBe(BigInt(mount_id))
  })

  test('faccessat2() says whether it may be done', () => {
    fs.faccessat2(folder, 'file', c.R_OK)
    expect(codeOf(() => fs.faccessat2(folder, 'file', c.X_OK))).toBe('EACCES')
    expect(codeOf(() => fs.faccessat2(folder, 'none', c.F_OK, c.AT_EACCESS))).toBe('ENOENT')
    expect(codeOf(() => fs.faccessat2(folder, 'file', 99))).toBe('EINVAL')
  })

  test('getcwd() and umask() are the process’s', () => {
    expect(fs.getcwd()).toBe(process.cwd())
    const result = scriptResult(`
      import { umask } from '@pkg/sys/fs'
      import { statSync, writeFileSync } from 'node:fs'
      const before = umask(0o077)
      const name = '/tmp/solo-umask-' + process.pid
      writeFileSync(name, '', { mode: 0o666 })
      const { mode } = statSync(name)
      require('fs').unlinkSync(name)
      process.stdout.write(JSON.stringify([before === process.umask(), umask(before), mode & 0o777]))`)
    expect(result).toEqual([false, 0o077, 0o600])
  })
})

describe('attributes', () => {
  test('statx_into(), fstat() and newfstatat() say what node:fs says', () => {
    const node = statSync(join(path, 'file'), { bigint: true })
    const buffer = alloc(structs.statx)
    fs.statx_into(folder, 'file', 0, c.STATX_BASIC_STATS, buffer)
    expect([buffer.get('stx_ino'), buffer.get('stx_size')]).toEqual([node.ino, 7n])
    fs.statx_into(folder, 'link', c.AT_SYMLINK_NOFOLLOW, c.STATX_BASIC_STATS, buffer)
    expect(buffer.get('stx_size')).toBe(4n)
    // A layout is known by what it says: areas that are built have their own.
    const equal = alloc(structuredClone(structs.statx))
    for (let round = 0; round < 2; round++) fs.statx_into(folder, 'file', 0, c.STATX_SIZE, equal)
    expect(equal.get('stx_size')).toBe(7n)
    const { stx_size, ...others } = structs.statx.fields
    for (const layout of [
      { ...structs.statx, size: 512 },
      { size: structs.statx.size, fields: { ...others, stx_size: ['u32', stx_size[1]] } },
      { size: structs.statx.size },
      null,
      'statx',
    ]) {
      const unequal = { layout, bytes: new Uint8Array(512) } as unknown as fs.StatxBuffer
      expect(() => fs.statx_into(folder, 'file', 0, 0, unequal)).toThrow(TypeError)
    }
    const wrong = alloc(structs.statfs) as unknown as fs.StatxBuffer
    expect(() => fs.statx_into(folder, 'file', 0, 0, wrong)).toThrow(TypeError)
    // The kernel would write beyond the end of this one.
    const small = { layout: structs.statx, bytes: new Uint8Array(16) } as unknown as fs.StatxBuffer
    expect(() => fs.statx_into(folder, 'file', 0, 0, small)).toThrow(TypeError)
    const none = { layout: structs.statx } as unknown as fs.StatxBuffer
    expect(() => fs.statx_into(folder, 'file', 0, 0, none)).toThrow(TypeError)
    using file = fs.openat(folder, 'file', c.O_RDONLY)
    const stat = fs.fstat(file)
    expect([stat.get('st_ino'), stat.get('st_mode'), stat.get('st_size')]).toEqual([
      node.ino,
      Number(node.mode),
      7n,
    ])
    expect(fs.newfstatat(folder, 'link', c.AT_SYMLINK_NOFOLLOW).get('st_ino')).toBe(
      lstatSync(join(path, 'link'), { bigint: true }).ino,
    )
    expect(codeOf(() => fs.newfstatat(folder, 'none'))).toBe('ENOENT')
  })

  test('fstatfs() says what node:fs says', () => {
    const { type, bsize, blocks } = statfsSync(path)
    const found = fs.fstatfs(folder)
    expect([found.get('f_type'), found.get('f_bsize'), found.get('f_blocks')].map(Number)).toEqual([
      type,
      bsize,
      blocks,
    ])
  })

  test('fchmod(), fchmodat2(), fchown() and truncate() change what stat shows', () => {
    using file = fs.openat(folder, 'file', c.O_RDWR)
    fs.fchmod(file, 0o640)
    expect(statSync(join(path, 'file')).mode & 0o7777).toBe(0o640)
    using place = fs.openat(folder, 'file', c.O_PATH)
    expect(codeOf(() => fs.fchmod(place, 0o600))).toBe('EBADF')
    fs.fchmodat2(place, '', 0o600, c.AT_EMPTY_PATH)
    expect(statSync(join(path, 'file')).mode & 0o7777).toBe(0o600)
    expect(codeOf(() => fs.fchmodat2(folder, 'link', 0o600, c.AT_SYMLINK_NOFOLLOW))).toBe('EOPNOTSUPP')
    fs.fchown(file, -1, process.getgid?.() ?? 0)
    expect(statSync(join(path, 'file')).gid).toBe(process.getgid?.())
    fs.truncate(join(path, 'file'), 3)
    expect(statSync(join(path, 'file')).size).toBe(3)
    expect(codeOf(() => fs.truncate(path, 0))).toBe('EISDIR')
    expect(codeOf(() => fs.truncate(join(path, 'file'), -1))).toBe('EINVAL')
  })

  test('fchown() gives a file to another user where that may be', () => {
    const result = scriptResult(
      `
      import { AT_FDCWD, O_CREAT, O_RDWR } from '@pkg/sys/constants'
      import { fchown, fstat, openat } from '@pkg/sys/fs'
      using file = openat(AT_FDCWD, '/tmp/solo-chown-' + process.pid, O_CREAT | O_RDWR, 0o600)
      const { unlinkSync } = await import('node:fs')
      unlinkSync('/tmp/solo-chown-' + process.pid)
      let code
      try { fchown(file, 12345, 23456) } catch (error) { code = error.code }
      process.stdout.write(JSON.stringify([code ?? 'none', fstat(file).get('st_uid')]))`,
      { wrapper: ['unshare', '-r'] },
    )
    // An id that the namespace does not map cannot own a file.
    expect(result).toEqual(['EINVAL', 0])
  })

  test('utimensat() sets times to the nanosecond, before 1970 too', () => {
    const stat = (): string =>
      execFileSync('stat', ['-c', '%.9X %.9Y', join(path, 'file')], { encoding: 'utf8' }).trim()
    fs.utimensat(folder, 'file', { accessNs: 1_000_000_001n, modificationNs: -1n })
    expect(stat()).toBe('1.000000001 -0.000000001')
    fs.utimensat(folder, 'file', { accessNs: 'omit', modificationNs: 86_400_000_000_123n })
    expect(stat()).toBe('1.000000001 86400.000000123')
    using file = fs.openat(folder, 'file', c.O_RDWR)
    fs.utimensat(file, null, { accessNs: 'now', modificationNs: 'omit' })
    expect(Math.abs(statSync(join(path, 'file')).atimeMs - Date.now())).toBeLessThan(5000)
    fs.utimensat(folder, 'link', { accessNs: 0n, modificationNs: 0n }, c.AT_SYMLINK_NOFOLLOW)
    expect(lstatSync(join(path, 'link')).mtimeMs).toBe(0)
    expect(() =>
      fs.utimensat(folder, 'file', { accessNs: 1 as unknown as bigint, modificationNs: 0n }),
    ).toThrow(TypeError)
    // 2⁶⁴ seconds would have been none.
    const wrapped = 2n ** 64n * 1_000_000_000n
    expect(() => fs.utimensat(folder, 'file', { accessNs: 'omit', modificationNs: wrapped })).toThrow(
      RangeError,
    )
    const last = (2n ** 63n - 1n) * 1_000_000_000n + 999_999_999n
    fs.utimensat(folder, 'file', { accessNs: 'omit', modificationNs: last })
    expect(fs.statx(folder, 'file', 0, c.STATX_MTIME).stx_mtime_nsec).toBeGreaterThan(
      2n ** 33n * 1_000_000_000n,
    )
  })

  test('file_getattr() and file_setattr() are what lsattr shows', () => {
    const before = fs.file_getattr(folder, 'file')
    // Those that only XFS knows of are 0 elsewhere, but there.
    expect([typeof before.fa_nextents, before.fa_cowextsize]).toEqual(['number', 0])
    fs.file_setattr(folder, 'file', { ...before, fa_xflags: before.fa_xflags | BigInt(c.FS_XFLAG_NODUMP) })
    expect(execFileSync('lsattr', [join(path, 'file')], { encoding: 'utf8' })).toMatch(/^[^ ]*d[^ ]* /)
    expect(fs.file_getattr(folder, 'file').fa_xflags & BigInt(c.FS_XFLAG_NODUMP)).not.toBe(0n)
    expect(codeOf(() => fs.file_getattr(folder, 'none'))).toBe('ENOENT')
  })
})

describe('extended attributes', () => {
  test('setxattr(), getxattr(), listxattr() and removexattr() by path', () => {
    const file = join(path, 'link') // followed
    xattr.setxattr(file, 'user.one', bytes('1'))
    xattr.setxattr(join(path, 'file'), 'user.empty', new Uint8Array(0))
    expect(
      xattr
        .listxattr(join(path, 'file'))
        .filter((name) => name.startsWith('user.'))
        .toSorted(),
    ).toEqual(['user.empty', 'user.one'])
    expect(text(xattr.getxattr(join(path, 'file'), 'user.one'))).toBe('1')
    expect(xattr.getxattr(file, 'user.empty')).toEqual(new Uint8Array(0))
    expect(codeOf(() => xattr.setxattr(file, 'user.one', bytes('2'), c.XATTR_CREATE))).toBe('EEXIST')
    expect(codeOf(() => xattr.setxattr(file, 'user.two', bytes('2'), c.XATTR_REPLACE))).toBe('ENODATA')
    xattr.removexattr(file, 'user.one')
    expect(codeOf(() => xattr.getxattr(file, 'user.one'))).toBe('ENODATA')
    expect(() => xattr.setxattr(file, 'user.\0', bytes('x'))).toThrow(TypeError)
    expect(() => xattr.setxattr(file, 'user.x', 'x' as unknown as Uint8Array)).toThrow(TypeError)
  })

  test('fsetxattr(), fgetxattr(), flistxattr() and fremovexattr() by descriptor', () => {
    using file = fs.openat(folder, 'file', c.O_RDONLY)
    const large = new Uint8Array(2000).fill(7)
    xattr.fsetxattr(file, 'user.large', large)
    expect(xattr.getxattr(join(path, 'file'), 'user.large')).toEqual(large)
    expect(xattr.fgetxattr(file, 'user.large')).toEqual(large)
    expect(xattr.flistxattr(file)).toContain('user.large')
    xattr.fremovexattr(file, 'user.large')
    expect(xattr.flistxattr(file)).not.toContain('user.large')
  })

  test('lsetxattr(), lgetxattr(), llistxattr() and lremovexattr() are of the link itself', () => {
    const link = join(path, 'link')
    xattr.setxattr(join(path, 'file'), 'user.target', bytes('t'))
    expect(xattr.llistxattr(link)).not.toContain('user.target')
    expect(codeOf(() => xattr.lgetxattr(link, 'user.target'))).toBe('ENODATA')
    // Links have no user attributes (xattr(7)), but trusted ones.
    expect(codeOf(() => xattr.lsetxattr(link, 'user.link', bytes('l')))).toBe('EPERM')
    const file = join(path, 'file')
    xattr.lsetxattr(file, 'user.own', bytes('o'))
    expect(text(xattr.lgetxattr(file, 'user.own'))).toBe('o')
    expect(xattr.llistxattr(file)).toContain('user.own')
    xattr.lremovexattr(file, 'user.own')
    expect(xattr.listxattr(file)).not.toContain('user.own')
  })

  test('setxattrat(), getxattrat(), listxattrat() and removexattrat() begin at a folder', () => {
    xattr.setxattrat(folder, 'file', 0, 'user.at', bytes('@'))
    expect(text(xattr.getxattr(join(path, 'file'), 'user.at'))).toBe('@')
    expect(text(xattr.getxattrat(folder, 'link', 0, 'user.at'))).toBe('@')
    expect(xattr.listxattrat(folder, 'file', 0)).toContain('user.at')
    expect(codeOf(() => xattr.getxattrat(folder, 'link', c.AT_SYMLINK_NOFOLLOW, 'user.at'))).toBe('ENODATA')
    xattr.removexattrat(folder, 'file', 0, 'user.at')
    expect(xattr.listxattr(join(path, 'file'))).not.toContain('user.at')
  })
})
