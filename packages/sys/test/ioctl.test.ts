// Typed requests to devices: terminals, disks, file systems, tunnels, judged by stty, blockdev, losetup, lsattr and ip.
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import * as block from '../src/block.ts'
import * as c from '../src/constants.ts'
import { AT_FDCWD } from '../src/constants.ts'
import * as control from '../src/file-control.ts'
import type { OwnedFd } from '../src/fd.ts'
import { openat } from '../src/fs.ts'
import { pread64, read, write } from '../src/io.ts'
import { spawn } from '../src/spawn.ts'
import * as terminal from '../src/terminal.ts'
import { scriptResult } from './child-script.ts'

function codeOf(action: () => unknown): unknown {
  try {
    return action()
  } catch (error) {
    return (error as { code?: string }).code ?? (error as Error).name
  }
}
const say = (command: string, ...args: string[]): string =>
  execFileSync(command, args, { encoding: 'utf8' }).trim()

let folder = ''
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'solo-ioctl-'))
})
afterEach(() => rmSync(folder, { recursive: true }))

describe('terminals', () => {
  test('openpty(), ioctl_tiocswinsz() and ioctl_tcsets2(): what stty says inside', async () => {
    using pty = terminal.openpty()
    terminal.ioctl_tiocswinsz(pty.slave, { ws_row: 33, ws_col: 99 })
    expect(terminal.ioctl_tiocgwinsz(pty.master)).toEqual({ ws_row: 33, ws_col: 99 })
    const termios = terminal.ioctl_tcgets2(pty.slave)
    expect(termios.get('c_lflag') & c.ECHO).toBe(c.ECHO)
    termios.set('c_lflag', termios.get('c_lflag') & ~c.ECHO)
    terminal.ioctl_tcsets2(pty.slave, termios)
    using child = spawn({
      file: '/bin/sh',
      args: ['-c', 'stty size; stty -a | grep -o -e "-echo " ; tty; ps -o pgid= -o tpgid= -o sess= -p $$'],
      env: { PATH: '/usr/bin:/bin' },
      stdio: [pty.slave, pty.slave, pty.slave],
      newSession: true,
      controllingTty: pty.slave,
    })
    await child.wait()
    const buffer = new Uint8Array(4096)
    const text = new TextDecoder().decode(buffer.subarray(0, read(pty.master, buffer)))
    expect(text).toMatch(
      new RegExp(
        `^33 99\\r\\n-echo \\r\\n${pty.path}\\r\\n *${child.pid} +${child.pid} +${child.pid}\\r\\n$`,
      ),
    )
    expect(codeOf(() => terminal.ioctl_tcgets2(0))).toBe('ENOTTY')
    expect(() => terminal.ioctl_tcsets2(pty.slave, {} as terminal.Termios)).toThrow(TypeError)
  })

  test('makeRaw() lets bytes through as they are', () => {
    using pty = terminal.openpty()
    const termios = terminal.ioctl_tcgets2(pty.slave)
    terminal.makeRaw(termios)
    terminal.ioctl_tcsetsw2(pty.slave, termios)
    const bytes = Uint8Array.of(3, 4, 10, 13, 17, 19, 26, 127, 255)
    write(pty.master, bytes)
    const buffer = new Uint8Array(64)
    expect([...buffer.subarray(0, read(pty.slave, buffer))]).toEqual([...bytes])
    expect(say('stty', '-F', pty.path, '-a')).toMatch(/-opost[\s\S]*-icanon/)
  })

  test('ioctl_tiocsctty(), ioctl_tiocspgrp(), ioctl_tiocgsid() and ioctl_tiocnotty(): a session and its terminal', () => {
    const result = scriptResult(`
      import * as t from '@pkg/sys/terminal'
      import { SIGHUP } from '@pkg/sys/constants'
      import { getpid, setsid } from '@pkg/sys/process'
      import { watchSignals } from '@pkg/sys/signal'
      using ignored = watchSignals([SIGHUP], () => {})
      setsid()
      using pty = t.openpty()
      let code; try { t.ioctl_tiocgsid(pty.slave) } catch (error) { code = error.code }
      t.ioctl_tiocsctty(pty.slave)
      t.ioctl_tiocspgrp(pty.slave, getpid())
      const found = [code, t.ioctl_tiocgsid(pty.slave) === getpid(), t.ioctl_tiocgpgrp(pty.slave) === getpid()]
      const { openSync } = await import('node:fs')
      const opens = () => { try { openSync('/dev/tty'); return true } catch (error) { return error.code } }
      found.push(opens())
      t.ioctl_tiocnotty(pty.slave)
      process.stdout.write(JSON.stringify([...found, opens()]))`)
    expect(result).toEqual(['ENOTTY', true, true, true, 'ENXIO'])
  })
})

// As root of this machine: loop devices have no namespaces.
describe('disks', () => {
  test('ioctl_loop_configure(), ioctl_blkgetsize64() and their like: what losetup and blockdev say', () => {
    const file = join(folder, 'image')
    writeFileSync(file, new Uint8Array(1 << 20).fill(7))
    using control_ = openat(AT_FDCWD, '/dev/loop-control', c.O_RDWR)
    using image = openat(AT_FDCWD, file, c.O_RDWR)
    const config = { fd: image, lo_offset: 65_536, lo_flags: c.LO_FLAGS_AUTOCLEAR, block_size: 4096 }
    const configured = (): readonly [string, OwnedFd] => {
      for (;;) {
        const path = `/dev/loop${block.ioctl_loop_ctl_get_free(control_)}`
        const loop = openat(AT_FDCWD, path, c.O_RDWR)
        expect(['ENXIO', 'object']).toContain(codeOf(() => typeof block.ioctl_loop_get_status64(loop)))
        const code = codeOf(() => block.ioctl_loop_configure(loop, config))
        if (code === undefined) return [path, loop]
        // A test beside this one was faster.
        expect(code).toBe('EBUSY')
        loop.close()
      }
    }
    const [path, device] = configured()
    using loop = device
    expect(block.ioctl_loop_get_status64(loop)).toMatchObject({
      lo_offset: 65_536n,
      lo_flags: c.LO_FLAGS_AUTOCLEAR,
    })
    expect(say('losetup', '-n', '-O', 'BACK-FILE,OFFSET,AUTOCLEAR', path).split(/\s+/)).toEqual([
      file,
      '65536',
      '1',
    ])
    const size = BigInt((1 << 20) - 65_536)
    expect([block.ioctl_blkgetsize64(loop), String(block.ioctl_blkgetsize64(loop))]).toEqual([
      size,
      say('blockdev', '--getsize64', path),
    ])
    expect([block.ioctl_blksszget(loop), block.ioctl_blkpbszget(loop)]).toEqual([4096, 4096])
    truncateSync(file, 2 << 20)
    block.ioctl_loop_set_capacity(loop)
    expect(block.ioctl_blkgetsize64(loop)).toBe(size + BigInt(1 << 20))
    block.ioctl_blkroset(loop, true)
    expect([block.ioctl_blkroget(loop), say('blockdev', '--getro', path)]).toEqual([true, '1'])
    block.ioctl_blkroset(loop, false)
    const buffer = new Uint8Array(4096)
    block.ioctl_blkzeroout(loop, 4096, 4096)
    block.ioctl_blkflsbuf(loop)
    pread64(image, buffer, 65_536 + 4096)
    expect(buffer.every((byte) => byte === 0)).toBe(true)
    pread64(image, buffer, 65_536)
    expect(buffer.every((byte) => byte === 7)).toBe(true)
    block.ioctl_blkdiscard(loop, 0, 4096)
    block.ioctl_blkflsbuf(loop)
    pread64(image, buffer, 65_536)
    expect(buffer.every((byte) => byte === 0)).toBe(true)
    expect(codeOf(() => block.ioctl_blkdiscard(loop, 1, 4096))).toBe('EINVAL')
    expect(codeOf(() => block.ioctl_blkrrpart(image))).toBe('ENOTTY')
    block.ioctl_loop_clr_fd(loop)
    expect(codeOf(() => block.ioctl_blkgetsize64(image))).toBe('ENOTTY')
  })

  test('ioctl_fs_ioc_getflags() and ioctl_fs_ioc_setflags() are lsattr’s', () => {
    const file = join(folder, 'flagged')
    writeFileSync(file, '')
    using fd = openat(AT_FDCWD, file, c.O_RDONLY)
    const before = control.ioctl_fs_ioc_getflags(fd)
    control.ioctl_fs_ioc_setflags(fd, before | c.FS_NODUMP_FL)
    expect(say('lsattr', file)).toMatch(/^[^ ]*d[^ ]* /)
    expect(control.ioctl_fs_ioc_getflags(fd)).toBe(before | c.FS_NODUMP_FL)
    expect(codeOf(() => control.ioctl_ficlone(fd, fd))).toMatch(/EOPNOTSUPP|EINVAL|EBADF/)
  })

  test('ioctl_fifreeze(), ioctl_fithaw() and ioctl_fitrim() of an ext4 of one’s own', () => {
    const result = scriptResult(
      `
      import { execFileSync } from 'node:child_process'
      import { mkdirSync, statSync, writeFileSync } from 'node:fs'
      import * as c from '@pkg/sys/constants'
      import * as f from '@pkg/sys/file-control'
      import { openat } from '@pkg/sys/fs'
      import { umount2 } from '@pkg/sys/mount'
      const folder = ${JSON.stringify(folder)}
      execFileSync('truncate', ['-s', '64M', folder + '/disk'])
      execFileSync('mkfs.ext4', ['-q', folder + '/disk'])
      mkdirSync(folder + '/at')
      execFileSync('mount', ['-o', 'loop', folder + '/disk', folder + '/at'])
      const code = (action) => { try { return action() ?? 'none' } catch (error) { return error.code } }
      const found = []
      {
        using at = openat(c.AT_FDCWD, folder + '/at', c.O_RDONLY)
        f.ioctl_fifreeze(at)
        const writer = Bun.spawn(['sh', '-c', 'echo x > ' + folder + '/at/late'])
        await Bun.sleep(100)
        found.push(writer.exitCode, code(() => f.ioctl_fifreeze(at)))
        f.ioctl_fithaw(at)
        found.push(await writer.exited, statSync(folder + '/at/late').size, code(() => f.ioctl_fithaw(at)))
        found.push(f.ioctl_fitrim(at) > 30000000n, code(() => f.ioctl_ext4_ioc_resize_fs(at, 1n << 50n)) !== 'none')
      }
      umount2(folder + '/at')
      process.stdout.write(JSON.stringify(found))`,
      { wrapper: ['unshare', '-m'] },
    )
    expect(result).toEqual([null, 'EBUSY', 0, 2, 'EINVAL', true, true])
  })
})

test('ioctl_tunsetiff(), ioctl_tungetiff() and their like: the interface that ip shows', () => {
  const result = scriptResult(
    `
    import { execFileSync } from 'node:child_process'
    import * as c from '@pkg/sys/constants'
    import { openat } from '@pkg/sys/fs'
    import * as t from '@pkg/sys/tun'
    const open = () => openat(c.AT_FDCWD, '/dev/net/tun', c.O_RDWR | c.O_NONBLOCK)
    const code = (action) => { try { return action() ?? 'none' } catch (error) { return error.code ?? error.name } }
    const tun = open()
    const found = [code(() => t.ioctl_tungetiff(tun)), t.ioctl_tunsetiff(tun, { name: 'solo%d', flags: c.IFF_TAP | c.IFF_NO_PI })]
    const { name, flags } = t.ioctl_tungetiff(tun)
    found.push(name, (flags & (c.IFF_TAP | c.IFF_NO_PI)) === (c.IFF_TAP | c.IFF_NO_PI))
    t.ioctl_tunsetowner(tun, 0)
    t.ioctl_tunsetpersist(tun, true)
    tun.close()
    const shown = execFileSync('ip', ['-d', 'link', 'show', 'solo0'], { encoding: 'utf8' })
    found.push(shown.includes('tun type tap'), shown.includes('persist on'))
    using again = open()
    found.push(t.ioctl_tunsetiff(again, { name: 'solo0', flags: c.IFF_TAP | c.IFF_NO_PI }))
    t.ioctl_tunsetpersist(again, false)
    using other = open()
    found.push(code(() => t.ioctl_tunsetiff(other, { name: 'x'.repeat(16), flags: c.IFF_TUN })))
    process.stdout.write(JSON.stringify(found))`,
    { wrapper: ['unshare', '-rn'] },
  )
  expect(result).toEqual(['EBADFD', 'solo0', 'solo0', true, true, true, 'solo0', 'RangeError'])
})
