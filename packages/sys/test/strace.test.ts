// What strace prints of a call is what was asked for: flags, structs, addresses.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { runScript } from './child-script.ts'

test('calls arrive in the kernel as they were asked for', () => {
  expect(spawnSync('strace', ['-V']).status).toBe(0)
  const folder = mkdtempSync(join(tmpdir(), 'solo-strace-'))
  const log = join(folder, 'log')
  const names =
    'mkdirat,renameat2,timerfd_settime,bind,setsockopt,clock_settime,linkat,fchownat,mount,reboot,pwrite64'
  const { status, stderr } = runScript(
    `
    import * as c from '@pkg/sys/constants'
    import { timerfd_create, timerfd_settime } from '@pkg/sys/event'
    import { fchownat, linkat, mkdirat, renameat2 } from '@pkg/sys/fs'
    import { memfd_create, pwrite64 } from '@pkg/sys/io'
    import { mount_remount } from '@pkg/sys/mount'
    import { reboot } from '@pkg/sys/reboot'
    import { bind, setsockopt, socket } from '@pkg/sys/socket'
    import { clock_settime } from '@pkg/sys/time'
    const quietly = (action) => { try { action() } catch {} }
    quietly(() => mkdirat(c.AT_FDCWD, '/none/x', 0o1751))
    quietly(() => renameat2(c.AT_FDCWD, '/none/a', c.AT_FDCWD, '/none/b', c.RENAME_NOREPLACE))
    quietly(() => linkat(c.AT_FDCWD, '/none/a', c.AT_FDCWD, '/none/b', c.AT_SYMLINK_FOLLOW))
    quietly(() => fchownat(c.AT_FDCWD, '/none/a', -1, 7, c.AT_SYMLINK_NOFOLLOW))
    const timer = timerfd_create(c.CLOCK_MONOTONIC)
    timerfd_settime(timer, c.TFD_TIMER_ABSTIME, { valueNs: 5_000_000_007n, intervalNs: 1_500_000_000n })
    const udp = socket(c.AF_INET, c.SOCK_DGRAM, 0)
    quietly(() => bind(udp, { family: c.AF_INET, address: '127.0.0.1', port: 4321 }))
    setsockopt(udp, c.SOL_SOCKET, c.SO_REUSEADDR, 1)
    quietly(() => clock_settime(c.CLOCK_MONOTONIC, 1_000_000_002n))
    quietly(() => mount_remount('/none', c.MS_RDONLY | c.MS_NOSUID | c.MS_BIND, 'size=1'))
    quietly(() => reboot(c.LINUX_REBOOT_CMD_CAD_OFF))
    pwrite64(memfd_create('x', 0), new TextEncoder().encode('text'), 2 ** 40)`,
    { wrapper: ['unshare', '-r', 'strace', '-qq', '-e', `trace=${names}`, '-o', log] },
  )
  expect(status, stderr).toBe(0)
  const lines = readFileSync(log, 'utf8')
    .split('\n')
    .filter((line) => !line.startsWith('---') && line !== '')
    .map((line) => line.replace(/\s+= .*/, ''))
  rmSync(folder, { recursive: true })
  expect(lines).toEqual([
    'mkdirat(AT_FDCWD, "/none/x", 01751)',
    'renameat2(AT_FDCWD, "/none/a", AT_FDCWD, "/none/b", RENAME_NOREPLACE)',
    'linkat(AT_FDCWD, "/none/a", AT_FDCWD, "/none/b", AT_SYMLINK_FOLLOW)',
    'fchownat(AT_FDCWD, "/none/a", -1, 7, AT_SYMLINK_NOFOLLOW)',
    expect.stringMatching(
      /^timerfd_settime\(\d+, TFD_TIMER_ABSTIME, \{it_interval=\{tv_sec=1, tv_nsec=500000000\}, it_value=\{tv_sec=5, tv_nsec=7\}\}, \{it_interval=.*\}\)$/,
    ),
    expect.stringMatching(
      /^bind\(\d+, \{sa_family=AF_INET, sin_port=htons\(4321\), sin_addr=inet_addr\("127.0.0.1"\)\}, 16\)$/,
    ),
    expect.stringMatching(/^setsockopt\(\d+, SOL_SOCKET, SO_REUSEADDR, \[1\], 4\)$/),
    'clock_settime(CLOCK_MONOTONIC, {tv_sec=1, tv_nsec=2})',
    'mount("none", "/none", NULL, MS_RDONLY|MS_NOSUID|MS_REMOUNT|MS_BIND, "size=1")',
    'reboot(LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, LINUX_REBOOT_CMD_CAD_OFF)',
    expect.stringMatching(/^pwrite64\(\d+, "text", 4, 1099511627776\)$/),
  ])
})

test('statx(), mount_setattr(), clone3, openat2() and sendmsg() with rights arrive as they were asked for', () => {
  const folder = mkdtempSync(join(tmpdir(), 'solo-strace-'))
  const log = join(folder, 'log')
  const { status, stderr } = runScript(
    `
    import * as c from '@pkg/sys/constants'
    import { openat2, statx } from '@pkg/sys/fs'
    import { mount_setattr } from '@pkg/sys/mount'
    import { sendmsg, socketpair } from '@pkg/sys/socket'
    import { spawn } from '@pkg/sys/spawn'
    const quietly = (action) => { try { return action() } catch {} }
    quietly(() => statx(c.AT_FDCWD, '/none', c.AT_SYMLINK_NOFOLLOW | c.AT_STATX_DONT_SYNC, c.STATX_SIZE | c.STATX_MTIME))
    quietly(() => mount_setattr(c.AT_FDCWD, '/none', c.AT_RECURSIVE,
      { attr_set: c.MOUNT_ATTR_RDONLY | c.MOUNT_ATTR_NOSUID, attr_clr: c.MOUNT_ATTR_NOEXEC, propagation: c.MS_PRIVATE }))
    quietly(() => openat2(c.AT_FDCWD, '/none', { flags: c.O_CREAT | c.O_WRONLY, mode: 0o640, resolve: c.RESOLVE_BENEATH | c.RESOLVE_NO_SYMLINKS }))
    const [left, right] = socketpair(c.AF_UNIX, c.SOCK_DGRAM, 0)
    sendmsg(left, { buffers: [new TextEncoder().encode('ab'), new TextEncoder().encode('c')],
      control: [{ type: 'rights', fds: [0, 1] }] }, c.MSG_NOSIGNAL)
    const child = spawn({ file: '/bin/true', env: {}, namespaces: c.CLONE_NEWUTS })
    await child.wait()`,
    {
      wrapper: [
        ...['unshare', '-r', 'strace', '-qq', '-e', 'trace=statx,mount_setattr,openat2,sendmsg,clone3'],
        ...['-e', 'signal=none', '-o', log],
      ],
    },
  )
  expect(status, stderr).toBe(0)
  const text = readFileSync(log, 'utf8')
  rmSync(folder, { recursive: true })
  const line = (start: string, part = ''): string | undefined => {
    const lines = text.split('\n').filter((one) => one.startsWith(start) && one.includes(part))
    return lines.at(-1)?.replace(/\s+= .*/, '')
  }
  expect(line('statx(AT_FDCWD, "/none"')).toMatch(
    /^statx\(AT_FDCWD, "\/none", AT_STATX_DONT_SYNC\|AT_SYMLINK_NOFOLLOW, STATX_MTIME\|STATX_SIZE, /,
  )
  expect(line('mount_setattr(')).toBe(
    'mount_setattr(AT_FDCWD, "/none", AT_RECURSIVE, {attr_set=MOUNT_ATTR_RDONLY|MOUNT_ATTR_NOSUID, attr_clr=MOUNT_ATTR_NOEXEC, propagation=MS_PRIVATE, userns_fd=0}, 32)',
  )
  expect(line('openat2(AT_FDCWD, "/none"')).toBe(
    'openat2(AT_FDCWD, "/none", {flags=O_WRONLY|O_CREAT|O_CLOEXEC, mode=0640, resolve=RESOLVE_NO_SYMLINKS|RESOLVE_BENEATH}, 24)',
  )
  expect(line('sendmsg(')).toMatch(
    /^sendmsg\(\d+, \{msg_name=NULL, msg_namelen=0, msg_iov=\[\{iov_base="ab", iov_len=2\}, \{iov_base="c", iov_len=1\}\], msg_iovlen=2, msg_control=\[\{cmsg_len=24, cmsg_level=SOL_SOCKET, cmsg_type=SCM_RIGHTS, cmsg_data=\[0, 1\]\}\], msg_controllen=24, msg_flags=0\}, MSG_NOSIGNAL\)$/,
  )
  // The engine makes threads by the same call.
  expect(line('clone3(', 'CLONE_PIDFD')).toMatch(
    /^clone3\(\{flags=CLONE_VM\|CLONE_PIDFD\|CLONE_VFORK\|CLONE_NEWUTS\|CLONE_CLEAR_SIGHAND, pidfd=0x[0-9a-f]+, exit_signal=SIGCHLD, stack=NULL, stack_size=0/,
  )
})
