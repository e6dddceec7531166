// Calls that name files, beside node:fs and the kernel's own errors.
import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  rmSync,
  statfsSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import {
  AT_EMPTY_PATH,
  AT_FDCWD,
  AT_REMOVEDIR,
  AT_SYMLINK_NOFOLLOW,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_NOFOLLOW,
  O_PATH,
  O_RDONLY,
  O_WRONLY,
  RENAME_EXCHANGE,
  RENAME_NOREPLACE,
  R_OK,
  STATX_ATTR_MOUNT_ROOT,
  STATX_BASIC_STATS,
  STATX_BTIME,
  STATX_MNT_ID,
  STATX_TYPE,
  ST_RDONLY,
  S_IFIFO,
  S_IFLNK,
  S_IFMT,
  W_OK,
  X_OK,
} from '../src/constants.ts'
import type { OwnedFd } from '../src/fd.ts'
import * as fs from '../src/fs.ts'
import { read } from '../src/io.ts'
import { scriptResult } from './child-script.ts'

let path = ''
let folder: OwnedFd
beforeEach(() => {
  path = mkdtempSync(join(realpathSync(tmpdir()), 'solo-fs-'))
  folder = fs.openat(AT_FDCWD, path, O_DIRECTORY)
})
afterEach(() => {
  folder.close()
  rmSync(path, { recursive: true })
})
const code = (value: string): unknown => expect.objectContaining({ code: value }) as unknown

/** Checks the code of what `action` throws. */
function failsWith(expected: string, action: () => unknown): void {
  let error: unknown
  try {
    action()
  } catch (thrown) {
    error = thrown
  }
  expect(error).toEqual(code(expected))
}

describe('openat()', () => {
  test('opens relative to a folder, close-on-exec, with the mode less the umask', () => {
    using file = fs.openat(folder, 'new', O_WRONLY | O_CREAT | O_EXCL, 0o666)
    expect(readlinkSync(`/proc/self/fd/${file.fd}`)).toBe(join(path, 'new'))
    expect(readFileSync(`/proc/self/fdinfo/${file.fd}`, 'utf8')).toMatch(/flags:\s+02\d{6}\n/)
    expect(statSync(join(path, 'new')).mode & 0o777).toBe(0o666 & ~process.umask())
  })

  test('reports what is wrong with the path', () => {
    fs.symlinkat('elsewhere', folder, 'link')
    writeFileSync(join(path, 'file'), '')
    failsWith('ENOENT', () => fs.openat(folder, 'none', O_RDONLY))
    failsWith('ENOENT', () => fs.openat(folder, '', O_RDONLY))
    failsWith('ELOOP', () => fs.openat(folder, 'link', O_RDONLY | O_NOFOLLOW))
    failsWith('ENOTDIR', () => fs.openat(folder, 'file', O_DIRECTORY))
    failsWith('EEXIST', () => fs.openat(folder, 'file', O_CREAT | O_EXCL))
    failsWith('ENAMETOOLONG', () => fs.openat(folder, 'x'.repeat(256), O_RDONLY))
    failsWith('EBADF', () => fs.openat(1_000_000, 'x', O_RDONLY))
  })

  test('refuses what the kernel would misread', () => {
    expect(() => fs.openat(AT_FDCWD, 'a\0b', O_RDONLY)).toThrow('NUL')
    expect(() => fs.openat(AT_FDCWD, undefined as unknown as string, O_RDONLY)).toThrow(TypeError)
    expect(() => fs.openat(AT_FDCWD, '/', undefined as unknown as number)).toThrow(TypeError)
    expect(() => fs.openat(AT_FDCWD, '/', 1.5)).toThrow(RangeError)
    expect(() => fs.openat(undefined as unknown as number, '/', O_RDONLY)).toThrow(TypeError)
    expect(() => fs.openat(-1, '/', O_RDONLY)).toThrow(RangeError)
  })

  test('takes names of any script, and long paths', () => {
    for (const name of ['grüße', '世界', '🐧', ' ', '\n', 'x'.repeat(255)]) {
      fs.openat(folder, name, O_CREAT | O_WRONLY, 0o600).close()
    }
    expect(readdirSync(path)).toHaveLength(6)
    using deep = fs.openat(AT_FDCWD, `${'/./'.repeat(1000)}proc/self/comm`, O_RDONLY)
    expect(read(deep, new Uint8Array(16))).toBeGreaterThan(0)
  })
})

describe('names', () => {
  test('mkdirat() and unlinkat() make and remove folders', () => {
    fs.mkdirat(folder, 'sub', 0o700)
    expect(statSync(join(path, 'sub')).mode & 0o7777).toBe(0o700)
    failsWith('EEXIST', () => fs.mkdirat(folder, 'sub', 0o700))
    failsWith('EISDIR', () => fs.unlinkat(folder, 'sub'))
    writeFileSync(join(path, 'sub/file'), '')
    failsWith('ENOTEMPTY', () => fs.unlinkat(folder, 'sub', AT_REMOVEDIR))
    fs.unlinkat(folder, 'sub/file')
    fs.unlinkat(folder, 'sub', AT_REMOVEDIR)
    expect(readdirSync(path)).toEqual([])
  })

  test('renameat2() replaces, refuses or exchanges as its flags say', () => {
    writeFileSync(join(path, 'a'), 'a')
    writeFileSync(join(path, 'b'), 'b')
    failsWith('EEXIST', () => fs.renameat2(folder, 'a', folder, 'b', RENAME_NOREPLACE))
    fs.renameat2(folder, 'a', folder, 'b', RENAME_EXCHANGE)
    expect([readFileSync(join(path, 'a'), 'utf8'), readFileSync(join(path, 'b'), 'utf8')]).toEqual(['b', 'a'])
    fs.renameat2(folder, 'a', folder, 'b')
    expect(readdirSync(path)).toEqual(['b'])
    failsWith('EXDEV', () => fs.renameat2(folder, 'b', AT_FDCWD, '/proc/b'))
  })

  test('symlinkat(), readlinkat() and linkat()', () => {
    const target = `x/${'ü'.repeat(500)}`
    fs.symlinkat(target, folder, 'link')
    expect(fs.readlinkat(folder, 'link')).toBe(target)
    writeFileSync(join(path, 'file'), 'x')
    fs.linkat(folder, 'file', folder, 'second')
    expect(statSync(join(path, 'second')).nlink).toBe(2)
    failsWith('EINVAL', () => fs.readlinkat(folder, 'file'))
    failsWith('EEXIST', () => fs.linkat(folder, 'file', folder, 'second'))
  })

  test('mknodat() makes a fifo; makedev() numbers devices as stat does', () => {
    fs.mknodat(folder, 'fifo', S_IFIFO | 0o600)
    expect(statSync(join(path, 'fifo')).isFIFO()).toBe(true)
    expect(fs.makedev(1, 3)).toBe(statSync('/dev/null').rdev)
    expect(fs.makedev(0xfff, 0xfffff)).toBe(0xffff_ffff)
    for (const [major, minor] of [
      [-1, 0],
      [0x1000, 0],
      [0, 0x100000],
      [0.5, 0],
    ] as const) {
      expect(() => fs.makedev(major, minor)).toThrow(RangeError)
    }
  })
})

describe('attributes', () => {
  test('fchmodat(), fchownat() and faccessat()', () => {
    writeFileSync(join(path, 'file'), '')
    fs.fchmodat(folder, 'file', 0o6751)
    expect(statSync(join(path, 'file')).mode & 0o7777).toBe(0o6751)
    fs.fchownat(folder, 'file', -1, -1)
    fs.fchownat(folder, '', process.getuid?.() ?? 0, process.getgid?.() ?? 0, AT_EMPTY_PATH)
    chmodSync(join(path, 'file'), 0o644)
    expect(fs.faccessat(folder, 'file', R_OK | W_OK)).toBe(true)
    expect(fs.faccessat(folder, 'file', X_OK)).toBe(false)
    expect(fs.faccessat(folder, 'none', 0)).toBe(false)
    expect(fs.faccessat(folder, 'file/x', 0)).toBe(false)
    failsWith('EINVAL', () => fs.faccessat(folder, 'file', 0o77))
  })

  test('statx() says what node:fs and stat(1) say', () => {
    writeFileSync(join(path, 'file'), 'x'.repeat(5000))
    const ours = fs.statx(folder, 'file', 0, STATX_BASIC_STATS)
    const node = statSync(join(path, 'file'), { bigint: true })
    expect({ ...ours, stx_mask: 0 }).toMatchObject({
      stx_mode: Number(node.mode),
      stx_nlink: 1,
      stx_uid: Number(node.uid),
      stx_gid: Number(node.gid),
      stx_ino: node.ino,
      stx_size: 5000n,
      stx_blocks: node.blocks,
      stx_atime_nsec: node.atimeNs,
      stx_ctime_nsec: node.ctimeNs,
      stx_mtime_nsec: node.mtimeNs,
      stx_blksize: Number(node.blksize),
    })
    expect(ours.stx_mask & STATX_BASIC_STATS).toBe(STATX_BASIC_STATS)
    const device = execFileSync('stat', ['-c', '%Hd %Ld', join(path, 'file')], { encoding: 'utf8' }).trim()
    expect(`${ours.stx_dev_major} ${ours.stx_dev_minor}`).toBe(device)
    const nothing = fs.statx(AT_FDCWD, '/dev/null', 0, STATX_BASIC_STATS)
    expect([nothing.stx_rdev_major, nothing.stx_rdev_minor]).toEqual([1, 3])
  })

  test('statx() says when a file was made, what it is and on which mount, where it was asked', () => {
    writeFileSync(join(path, 'file'), '')
    const asked = fs.statx(folder, 'file', 0, STATX_BASIC_STATS | STATX_BTIME | STATX_MNT_ID)
    const made = execFileSync('stat', ['-c', '%.9W', join(path, 'file')], { encoding: 'utf8' }).trim()
    expect(asked.stx_btime_nsec).toBe(BigInt(made.replace('.', '')))
    expect(readFileSync('/proc/self/mountinfo', 'utf8')).toMatch(new RegExp(`^${asked.stx_mnt_id} `, 'm'))
    const attribute = BigInt(STATX_ATTR_MOUNT_ROOT)
    const root = fs.statx(AT_FDCWD, '/proc', 0, STATX_TYPE)
    expect([root.stx_attributes & attribute, root.stx_attributes_mask & attribute]).toEqual([
      attribute,
      attribute,
    ])
    expect(asked.stx_attributes & attribute).toBe(0n)
    // Files of /proc were made at no time.
    expect(fs.statx(AT_FDCWD, '/proc/version', 0, STATX_BTIME).stx_btime_nsec).toBeNull()
  })

  test('statx() of a link, and of a descriptor by an empty path', () => {
    fs.symlinkat('/', folder, 'link')
    const link = fs.statx(folder, 'link', AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS)
    expect(link.stx_mode & S_IFMT).toBe(S_IFLNK)
    using opened = fs.openat(folder, 'link', O_PATH | O_NOFOLLOW)
    expect(fs.statx(opened, '', AT_EMPTY_PATH, STATX_BASIC_STATS).stx_ino).toBe(link.stx_ino)
  })

  test('statfs() says what node:fs says', () => {
    const ours = fs.statfs('/proc')
    const node = statfsSync('/proc', { bigint: true })
    expect([ours.f_type, ours.f_bsize, ours.f_blocks]).toEqual([0x9fa0n, node.bsize, node.blocks])
    const disk = fs.statfs(path)
    expect([disk.f_blocks, disk.f_files]).toEqual([
      statfsSync(path, { bigint: true }).blocks,
      statfsSync(path, { bigint: true }).files,
    ])
    const [id, name, fragment] = execFileSync('stat', ['-f', '-c', '%i %l %S', path], { encoding: 'utf8' })
      .trim()
      .split(' ')
    const hex = disk.f_fsid.map((word) => (word >>> 0).toString(16).padStart(8, '0')).join('')
    expect([hex, String(disk.f_namelen), String(disk.f_frsize)]).toEqual([
      id?.padStart(16, '0'),
      name,
      fragment,
    ])
    // ST_VALID is always set (statfs(2)), and /proc is never read-only here.
    expect([ours.f_flags & BigInt(ST_RDONLY), ours.f_flags & 0x20n]).toEqual([0n, 0x20n])
    failsWith('ENOENT', () => fs.statfs('/none'))
  })
})

describe('getdents64()', () => {
  test('lists thousands of names once each, with their kind', () => {
    for (let count = 0; count < 2000; count++) writeFileSync(join(path, `file-with-a-long-name-${count}`), '')
    fs.mkdirat(folder, 'folder', 0o755)
    using open = fs.openat(folder, '.', O_RDONLY)
    const entries = [...fs.getdents64(open)]
    expect(entries.map((entry) => entry.d_name).toSorted()).toEqual(readdirSync(path).toSorted())
    expect(entries.find((entry) => entry.d_name === 'folder')?.d_type).toBe(4)
    expect(entries[0]?.d_ino).toBe(statSync(join(path, entries[0]?.d_name ?? ''), { bigint: true }).ino)
    expect([...fs.getdents64(open)]).toEqual([])
  })

  test('reports what is no folder', () => {
    using file = fs.openat(AT_FDCWD, '/dev/null', O_RDONLY)
    failsWith('ENOTDIR', () => [...fs.getdents64(file)])
  })
})

test('chdir(), fchdir() and chroot() move the whole process', () => {
  const result = scriptResult(
    `
    import { AT_FDCWD, O_DIRECTORY } from '@pkg/sys/constants'
    import { chdir, chroot, fchdir, openat } from '@pkg/sys/fs'
    import { readlinkSync } from 'node:fs'
    const cwd = () => readlinkSync('/proc/self/cwd')
    const found = []
    chdir('/usr'); found.push(cwd())
    using root = openat(AT_FDCWD, '/proc', O_DIRECTORY)
    fchdir(root); found.push(cwd())
    try { chdir('/none') } catch (error) { found.push(error.message) }
    chroot('/proc'); chdir('/self'); found.push(readlinkSync('/self') === String(process.pid))
    process.stdout.write(JSON.stringify(found))`,
    { wrapper: ['unshare', '-r'] },
  )
  expect(result).toEqual(['/usr', '/proc', 'chdir /none: ENOENT: No such file or directory', true])
})
