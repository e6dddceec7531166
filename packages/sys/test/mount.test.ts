// Mounts, names of the host, modules and reboot, as root of namespaces of their own.
import { release } from 'node:os'
import { expect, test } from 'vitest'
import { runScript, scriptResult } from './child-script.ts'

const prelude = `
  import { mkdirSync, mkdtempSync, readFileSync, writeFileSync, openSync, readdirSync } from 'node:fs'
  import * as c from '@pkg/sys/constants'
  import { AT_FDCWD } from '@pkg/sys/constants'
  import * as m from '@pkg/sys/mount'
  const folder = mkdtempSync('/tmp/solo-mount-')
  m.mount('tmpfs', folder, 'tmpfs', c.MS_NOSUID, 'size=1m,mode=0750')
  const options = (path) => readFileSync('/proc/self/mountinfo', 'utf8').split('\\n')
    .filter((line) => line.split(' ')[4] === path).map((line) => line.split(' ')[5]).at(-1)
  const code = (action) => { try { action(); return 'none' } catch (error) { return error.code ?? error.name } }
  const message = (action) => { try { action() } catch (error) { return error.message.replaceAll(folder, '') } }
  const done = (value) => process.stdout.write(JSON.stringify(value))
`
const inNamespace = (code: string): unknown =>
  scriptResult(prelude + code, { wrapper: ['unshare', '-rmu', '--propagation', 'private'] })

test('mount(), mount_remount() and umount2() change flags and report EBUSY and EINVAL', () => {
  const result = inNamespace(`
    const found = [options(folder)]
    m.mount_remount(folder, c.MS_RDONLY | c.MS_NODEV | c.MS_BIND)
    found.push(options(folder), code(() => writeFileSync(folder + '/x', '')))
    m.mount_remount(folder, c.MS_BIND)
    const fd = openSync(folder + '/x', 'w')
    found.push(code(() => m.umount2(folder)))
    m.umount2(folder, c.MNT_DETACH)
    found.push(code(() => m.umount2(folder)), options(folder) ?? 'gone')
    found.push(message(() => m.mount('none', folder, 'nonsense')), code(() => m.mount('x', folder + '/none', 'tmpfs')))
    found.push(code(() => m.mount('a', 'b', 'c', c.MS_BIND)), code(() => m.mount('a\\0', 'b', 'c')))
    done(found)`)
  expect(result).toEqual([
    expect.stringMatching(/^rw,nosuid/),
    expect.stringMatching(/^ro,nodev/),
    'EROFS',
    'EBUSY',
    'EINVAL',
    'gone',
    expect.stringContaining('ENODEV'),
    'ENOENT',
    'RangeError',
    'TypeError',
  ])
})

test('mount_bind(), mount_move() and mount_change() work on the tree', () => {
  const result = inNamespace(`
    for (const name of ['a', 'b', 'c', 'a/deep']) mkdirSync(folder + '/' + name)
    m.mount('tmpfs', folder + '/a/deep', 'tmpfs')
    writeFileSync(folder + '/a/deep/file', 'x')
    m.mount_bind(folder + '/a', folder + '/b')
    const flat = readdirSync(folder + '/b/deep')
    m.umount2(folder + '/b')
    m.mount_bind(folder + '/a', folder + '/b', true)
    const deep = readdirSync(folder + '/b/deep')
    m.mount_change(folder + '/b', c.MS_PRIVATE | c.MS_REC)
    m.mount_move(folder + '/b', folder + '/c')
    done([flat, deep, readdirSync(folder + '/b'), readdirSync(folder + '/c/deep')])`)
  expect(result).toEqual([[], ['file'], [], ['file']])
})

test('fsopen(), fsconfig_set_string(), fsmount(), move_mount(), open_tree() and mount_setattr(), with the kernel’s words', () => {
  const result = inNamespace(`
    for (const name of ['a', 'b']) mkdirSync(folder + '/' + name)
    using fs = m.fsopen('tmpfs')
    m.fsconfig_set_string(fs, 'size', '64k')
    const bad = message(() => m.fsconfig_set_string(fs, 'nonsense', '1'))
    m.fsconfig_create(fs)
    using mounted = m.fsmount(fs, c.MOUNT_ATTR_NOEXEC)
    m.move_mount(mounted, '', AT_FDCWD, folder + '/a', c.MOVE_MOUNT_F_EMPTY_PATH)
    writeFileSync(folder + '/a/file', 'x')
    using copy = m.open_tree(AT_FDCWD, folder + '/a', c.OPEN_TREE_CLONE)
    m.mount_setattr(copy, '', c.AT_EMPTY_PATH, { attr_set: c.MOUNT_ATTR_RDONLY, attr_clr: c.MOUNT_ATTR_NOEXEC })
    m.move_mount(copy, '', AT_FDCWD, folder + '/b', c.MOVE_MOUNT_F_EMPTY_PATH)
    done([bad, options(folder + '/a'), options(folder + '/b'), readdirSync(folder + '/b'),
      code(() => m.fsopen('nonsense')), code(() => m.mount_setattr(AT_FDCWD, '/none', 0, { attr_set: c.MOUNT_ATTR_RDONLY }))])`)
  expect(result).toEqual([
    expect.stringMatching(
      /^fsconfig nonsense: EINVAL: Invalid argument \(.*[Uu]nknown parameter 'nonsense'\)$/,
    ),
    expect.stringMatching(/^rw,noexec/),
    expect.stringMatching(/^ro,/),
    ['file'],
    'ENODEV',
    'ENOENT',
  ])
})

test('mount() and mount_remount() refuse more options than the kernel would read', () => {
  const result = inNamespace(`
    const size = () => readFileSync('/proc/self/mountinfo', 'utf8').split('\\n')
      .filter((line) => line.split(' ')[4] === folder).at(-1).split(' - ')[1].split(' ')[2]
    const longest = 'mode=700,'.repeat(454) + 'size=32k,'
    m.mount('none', folder, 'tmpfs', 0, longest.slice(0, -1))
    const found = [size(), message(() => m.mount('none', folder, 'tmpfs', 0, longest + 'size=64k'))]
    found.push(code(() => m.mount_remount(folder, 0, 'ü'.repeat(2048))), size())
    done(found)`)
  expect(result).toEqual([
    expect.stringContaining('size=32k'),
    'data has 4103 bytes, of which mount(2) would take 4095: use fsopen or fspick',
    'RangeError',
    expect.stringContaining('size=32k'),
  ])
})

test('fsconfig_set_fd() and fsconfig_create_excl() make an overlay of open folders', () => {
  const result = inNamespace(`
    import { openat } from '@pkg/sys/fs'
    for (const name of ['low', 'up', 'work', 'to']) mkdirSync(folder + '/' + name)
    writeFileSync(folder + '/low/below', 'x')
    using fs = m.fsopen('overlay')
    using low = openat(AT_FDCWD, folder + '/low', c.O_PATH)
    const byFd = message(() => m.fsconfig_set_fd(fs, 'lowerdir+', low))
    if (byFd !== undefined) m.fsconfig_set_string(fs, 'lowerdir', folder + '/low')
    m.fsconfig_set_string(fs, 'upperdir', folder + '/up')
    m.fsconfig_set_string(fs, 'workdir', folder + '/work')
    m.fsconfig_create_excl(fs)
    using mounted = m.fsmount(fs)
    m.move_mount(mounted, '', AT_FDCWD, folder + '/to', c.MOVE_MOUNT_F_EMPTY_PATH)
    using other = openat(AT_FDCWD, '/', c.O_PATH)
    done([byFd ?? 'done', readdirSync(folder + '/to'), code(() => m.fsconfig_set_fd(fs, 'nonsense', other)),
      code(() => m.fsconfig_set_fd(fs, 'fd', -1))])`)
  // The kind of the option's value is of Linux 6.13.
  const [major = 0, minor = 0] = release().split(/[.-]/).map(Number)
  const isOlder = major < 6 || (major === 6 && minor < 13)
  const byFd = isOlder ? (expect.stringContaining('EINVAL') as unknown) : 'done'
  expect(result).toEqual([byFd, ['below'], 'EINVAL', 'RangeError'])
})

test('fsconfig_set_path(), fsconfig_set_path_empty() and fsconfig_set_binary() name files and bytes', () => {
  const result = inNamespace(`
    import { openat } from '@pkg/sys/fs'
    writeFileSync(folder + '/file', 'x')
    using at = openat(AT_FDCWD, folder, c.O_PATH)
    using file = openat(at, 'file', c.O_PATH)
    using fs = m.fsopen('ext4')
    done([
      message(() => m.fsconfig_set_path(fs, 'journal_path', at, 'file')),
      message(() => m.fsconfig_set_path(fs, 'journal_path', at, 'none')),
      message(() => m.fsconfig_set_path(fs, 'journal_path', at, '')),
      message(() => m.fsconfig_set_path_empty(fs, 'journal_path', file)),
      message(() => m.fsconfig_set_binary(fs, 'journal_path', new Uint8Array(3))),
      message(() => m.fsconfig_set_binary(fs, 'journal_path', new Uint8Array(0))),
      code(() => m.fsconfig_set_binary(fs, 'journal_path', 'text')),
    ])`)
  expect(result).toEqual([
    expect.stringContaining("Non-blockdev passed as 'file'"),
    expect.stringContaining("Lookup failure for 'none'"),
    'fsconfig journal_path: ENOENT: No such file or directory',
    expect.stringContaining("Non-blockdev passed as ''"),
    // No file system of today takes bytes: this one's words are about what it was given.
    expect.stringContaining('not usable as path'),
    'fsconfig journal_path: EINVAL: Invalid argument',
    'TypeError',
  ])
})

test('fsconfig_create_excl() refuses a superblock that is there already', () => {
  // The queues of an IPC namespace have one from its beginning.
  const create = (command: string): unknown =>
    scriptResult(
      `${prelude}
      using fs = m.fsopen('mqueue')
      done(code(() => m.${command}(fs)))`,
      { wrapper: ['unshare', '-rmi', '--propagation', 'private'] },
    )
  expect([create('fsconfig_create'), create('fsconfig_create_excl')]).toEqual(['none', 'EBUSY'])
})

test('sethostname() and setdomainname() name the host of this namespace', () => {
  const result = inNamespace(`
    import { sethostname, setdomainname, uname } from '@pkg/sys/system'
    sethostname('solo-ü'); setdomainname('example.org')
    const { nodename, domainname } = uname()
    sethostname('')
    done([nodename, domainname, uname().nodename, code(() => sethostname('x'.repeat(65)))])`)
  expect(result).toEqual(['solo-ü', 'example.org', '', 'EINVAL'])
})

test('modules, reboot and pivot_root() are refused with their errors', () => {
  const result = inNamespace(`
    import { finit_module, delete_module } from '@pkg/sys/module'
    import { reboot } from '@pkg/sys/reboot'
    done([code(() => finit_module(0)), code(() => delete_module('nonsense', 0)), code(() => reboot(0x1234)),
      code(() => reboot(undefined)), code(() => m.pivot_root(folder + '/none', folder)), code(() => m.pivot_root('/', '/'))])`)
  // ENOSYS: a kernel without modules. The initial ramfs cannot be pivoted (EINVAL), nor the root to itself (EBUSY).
  const refused = expect.stringMatching(/^(EPERM|ENOSYS)$/) as unknown
  const notPivoted = expect.stringMatching(/^(EINVAL|EBUSY)$/) as unknown
  expect(result).toEqual([refused, refused, 'EPERM', 'TypeError', 'ENOENT', notPivoted])
})

test('statmount() and listmount() say what mountinfo says', () => {
  const result = inNamespace(`
    import { STATX_BASIC_STATS } from '@pkg/sys/constants'
    import { statx_into } from '@pkg/sys/fs'
    import { alloc } from '@pkg/sys/struct'
    import { statx } from '@pkg/sys/structs'
    const buffer = alloc(statx)
    statx_into(AT_FDCWD, folder, 0, c.STATX_MNT_ID_UNIQUE, buffer)
    const info = m.statmount(buffer.get('stx_mnt_id'))
    const line = readFileSync('/proc/self/mountinfo', 'utf8').split('\\n').find((one) => one.split(' ')[4] === folder).split(' ')
    const ids = [...m.listmount(c.LSMT_ROOT)]
    done([info.fs_type, info.mnt_point === folder, info.mnt_root, info.sb_source, String(info.mnt_id_old) === line[0],
      info.sb_dev_major + ':' + info.sb_dev_minor === line[2], info.sb_magic === BigInt(c.TMPFS_MAGIC),
      (info.mnt_attr & BigInt(c.MOUNT_ATTR_NOSUID)) !== 0n, info.mnt_opts.includes('size=1024k'), ids.includes(info.mnt_id),
      ids.length >= readFileSync('/proc/self/mountinfo', 'utf8').trim().split('\\n').length - 1,
      code(() => m.statmount(1n << 62n)), code(() => [...m.listmount(1n << 62n)]), code(() => m.statmount(2n ** 64n))])`)
  expect(result).toEqual([
    'tmpfs',
    true,
    '/',
    'tmpfs',
    true,
    true,
    true,
    true,
    true,
    true,
    true,
    'ENOENT',
    'ENOENT',
    'RangeError',
  ])
})

test('listmount() takes hundreds of mounts in several calls', () => {
  const result = inNamespace(`
    for (let i = 0; i < 300; i++) { mkdirSync(folder + '/' + i); m.mount('tmpfs', folder + '/' + i, 'tmpfs') }
    const ids = [...m.listmount(c.LSMT_ROOT)]
    done([ids.length > 300, new Set(ids).size === ids.length])`)
  expect(result).toEqual([true, true])
})

test('open_tree_attr() gives a copy with its own attributes', () => {
  const result = inNamespace(`
    mkdirSync(folder + '/a'); mkdirSync(folder + '/b'); m.mount('tmpfs', folder + '/a', 'tmpfs')
    using copy = m.open_tree_attr(AT_FDCWD, folder + '/a', c.OPEN_TREE_CLONE, { attr_set: c.MOUNT_ATTR_RDONLY })
    m.move_mount(copy, '', AT_FDCWD, folder + '/b', c.MOVE_MOUNT_F_EMPTY_PATH)
    done([options(folder + '/a'), options(folder + '/b'), code(() => m.open_tree_attr(AT_FDCWD, '/none', 0, {}))])`)
  expect(result).toEqual([expect.stringMatching(/^rw/), expect.stringMatching(/^ro/), 'ENOENT'])
})

test('fspick(), fsconfig_set_flag() and fsconfig_reconfigure() change a mounted file system', () => {
  const result = inNamespace(`
    const superOptions = () => readFileSync('/proc/self/mountinfo', 'utf8').split('\\n')
      .find((line) => line.split(' ')[4] === folder).split(' - ')[1].split(' ')[2]
    const before = superOptions()
    using fs = m.fspick(AT_FDCWD, folder)
    m.fsconfig_set_flag(fs, 'ro')
    m.fsconfig_set_string(fs, 'size', '2m')
    m.fsconfig_reconfigure(fs)
    done([before, superOptions(), code(() => writeFileSync(folder + '/x', '')), code(() => m.fspick(AT_FDCWD, folder + '/none'))])`)
  expect(result).toEqual([
    expect.stringMatching(/^rw,size=1024k/),
    expect.stringMatching(/^ro,size=2048k/),
    'EROFS',
    'ENOENT',
  ])
})

test('pivot_root() makes a mount the root, and the old one can go', () => {
  const result = inNamespace(`
    import { chdir } from '@pkg/sys/fs'
    mkdirSync(folder + '/old'); writeFileSync(folder + '/here', 'x')
    m.pivot_root(folder, folder + '/old')
    chdir('/')
    const found = [readdirSync('/').toSorted(), readdirSync('/old').includes('etc')]
    m.umount2('/old', c.MNT_DETACH)
    done([...found, readdirSync('/old')])`)
  expect(result).toEqual([['here', 'old'], true, []])
})

test('reboot() ends a pid namespace: its first process is killed, and the parent sees how', () => {
  const ended = (command: string): unknown => {
    const { signal, status } = runScript(
      `import * as c from '@pkg/sys/constants'
       import { reboot } from '@pkg/sys/reboot'
       reboot(c.${command})`,
      { wrapper: ['unshare', '-rp', '--fork'] },
    )
    return signal ?? status
  }
  expect(ended('LINUX_REBOOT_CMD_RESTART')).toBe('SIGHUP')
  expect(ended('LINUX_REBOOT_CMD_POWER_OFF')).toBe('SIGINT')
})
