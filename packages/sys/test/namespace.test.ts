// Namespaces and capabilities of threads, seen in /proc and by what the kernel then allows.
import { expect, test } from 'vitest'
import { scriptResult } from './child-script.ts'

const prelude = `
  import { readFileSync, readlinkSync, statSync } from 'node:fs'
  import * as c from '@pkg/sys/constants'
  import { AT_FDCWD, O_RDONLY } from '@pkg/sys/constants'
  import { openat } from '@pkg/sys/fs'
  const status = (field) => new RegExp('^' + field + ':\\\\s*(.*)$', 'm').exec(readFileSync('/proc/thread-self/status', 'utf8'))[1]
  const code = (action) => { try { action(); return 'none' } catch (error) { return error.code ?? error.name } }
  const done = (value) => process.stdout.write(JSON.stringify(value))
`
const asRoot = (code: string): unknown => scriptResult(prelude + code, { wrapper: ['unshare', '-rm'] })

test('unshare() and setns() move this thread between namespaces', () => {
  const result = asRoot(`
    import { setns, unshare } from '@pkg/sys/namespace'
    import { sethostname, uname } from '@pkg/sys/system'
    const name = () => readlinkSync('/proc/thread-self/ns/uts')
    const before = name(), hostname = uname().nodename
    using old = openat(AT_FDCWD, '/proc/thread-self/ns/uts', O_RDONLY)
    unshare(c.CLONE_NEWUTS)
    const inside = name()
    sethostname('inside')
    const found = [inside !== before, uname().nodename]
    using folder = openat(AT_FDCWD, '/', O_RDONLY)
    found.push(code(() => setns(old, c.CLONE_NEWNET)), code(() => setns(folder, 0)))
    done([...found, code(() => setns(old, c.CLONE_NEWUTS)), code(() => unshare(c.CLONE_NEWUSER)),
      code(() => unshare(1.5)), code(() => unshare('x')), readFileSync('/proc/1/comm').length > 0])`)
  // The first UTS namespace belongs to the outer user namespace, and so to somebody else.
  expect(result).toEqual([
    true,
    'inside',
    'EINVAL',
    'EINVAL',
    'EPERM',
    'EINVAL',
    'RangeError',
    'TypeError',
    true,
  ])
})

test('setns() goes back to a namespace of its own', () => {
  const result = asRoot(`
    import { setns, unshare } from '@pkg/sys/namespace'
    const name = () => readlinkSync('/proc/thread-self/ns/ipc')
    unshare(c.CLONE_NEWIPC)
    const first = name()
    using old = openat(AT_FDCWD, '/proc/thread-self/ns/ipc', O_RDONLY)
    unshare(c.CLONE_NEWIPC)
    const second = name()
    setns(old, c.CLONE_NEWIPC)
    done([first !== second, name() === first])`)
  expect(result).toEqual([true, true])
})

test('ioctl_ns_get_nstype() and its like say what a namespace is', () => {
  const result = asRoot(`
    import * as ns from '@pkg/sys/namespace'
    const open = (kind) => openat(AT_FDCWD, '/proc/self/ns/' + kind, O_RDONLY)
    using user = open('user'); using mnt = open('mnt'); using pid = open('pid')
    using owner = ns.ioctl_ns_get_userns(mnt)
    const inode = (fd) => readlinkSync('/proc/self/fd/' + fd.fd)
    done([ns.ioctl_ns_get_nstype(user) === c.CLONE_NEWUSER, ns.ioctl_ns_get_nstype(mnt) === c.CLONE_NEWNS,
      inode(owner) === inode(user), ns.ioctl_ns_get_owner_uid(user), ns.ioctl_ns_get_mntns_id(mnt) > 0n,
      code(() => ns.ioctl_ns_get_parent(user)), code(() => ns.ioctl_ns_get_owner_uid(pid)),
      code(() => ns.ioctl_ns_get_nstype(0))])`)
  expect(result).toEqual([
    true,
    true,
    true,
    0,
    true,
    'EPERM',
    'EINVAL',
    expect.stringMatching(/ENOTTY|EINVAL/),
  ])
})

test('ioctl_ns_get_parent() finds the parent of a pid namespace', () => {
  const result = scriptResult(
    `${prelude}
    import { ioctl_ns_get_parent } from '@pkg/sys/namespace'
    import { spawn } from '@pkg/sys/spawn'
    using child = spawn({ file: '/bin/sleep', args: ['9'], env: {}, namespaces: c.CLONE_NEWPID })
    using inner = openat(AT_FDCWD, '/proc/' + child.pid + '/ns/pid', O_RDONLY)
    using parent = ioctl_ns_get_parent(inner)
    done(readlinkSync('/proc/self/fd/' + parent.fd) === readlinkSync('/proc/self/ns/pid'))
    child.kill(c.SIGKILL)`,
    { wrapper: ['unshare', '-r'] },
  )
  expect(result).toBe(true)
})

test('capget() and capset() are the sets of /proc, in 64 bits', () => {
  const result = asRoot(`
    import { capabilitySet, capget, capset } from '@pkg/sys/capability'
    const hex = (field) => BigInt('0x' + status(field))
    const same = () => { const { effective, permitted, inheritable } = capget()
      return effective === hex('CapEff') && permitted === hex('CapPrm') && inheritable === hex('CapInh') }
    const found = [same(), capget(process.pid).effective === capget().effective, code(() => capget(0x7ffffffe))]
    const kept = capabilitySet(c.CAP_KILL, c.CAP_CHECKPOINT_RESTORE)
    capset({ effective: kept, permitted: kept, inheritable: 1n << 40n })
    found.push(same(), status('CapEff'), status('CapInh'))
    found.push(code(() => capset({ effective: 1n, permitted: 1n, inheritable: 0n })))
    found.push(readFileSync('/proc/self/task/' + Math.max(...require('fs').readdirSync('/proc/self/task').map(Number)) + '/status', 'utf8').includes('CapEff:\\t' + status('CapEff')))
    done([...found, code(() => capset({ effective: 2n ** 65n, permitted: 0n, inheritable: 0n })), code(() => capabilitySet(64))])`)
  expect(result).toEqual([
    true,
    true,
    'ESRCH',
    true,
    '0000010000000020',
    '0000010000000000',
    'EPERM',
    false,
    'RangeError',
    'RangeError',
  ])
})

test('prctl_capbset_drop(), prctl_cap_ambient_raise() and their like are what /proc shows', () => {
  const result = asRoot(`
    import { capget, capset } from '@pkg/sys/capability'
    import * as p from '@pkg/sys/prctl'
    const found = [p.prctl_capbset_read(c.CAP_CHOWN)]
    p.prctl_capbset_drop(c.CAP_CHOWN)
    found.push(p.prctl_capbset_read(c.CAP_CHOWN), (BigInt('0x' + status('CapBnd')) & 1n) === 0n, code(() => p.prctl_capbset_read(99)))
    const sets = capget()
    found.push(code(() => p.prctl_cap_ambient_raise(c.CAP_KILL)))
    capset({ ...sets, inheritable: (1n << BigInt(c.CAP_KILL)) | (1n << BigInt(c.CAP_FOWNER)) })
    p.prctl_cap_ambient_raise(c.CAP_KILL); p.prctl_cap_ambient_raise(c.CAP_FOWNER)
    found.push(status('CapAmb'), p.prctl_cap_ambient_is_set(c.CAP_KILL))
    p.prctl_cap_ambient_lower(c.CAP_KILL)
    found.push(status('CapAmb'))
    p.prctl_cap_ambient_clear_all()
    found.push(status('CapAmb'), p.prctl_get_securebits())
    p.prctl_set_securebits(1 << c.SECURE_NOROOT)
    found.push(p.prctl_get_securebits())
    p.prctl_set_keepcaps(true); found.push(p.prctl_get_keepcaps())
    done(found)`)
  expect(result).toEqual([
    true,
    false,
    true,
    'EINVAL',
    'EPERM',
    '0000000000000028',
    true,
    '0000000000000008',
    '0000000000000000',
    0,
    1,
    true,
  ])
})

test('prctl_set_no_new_privs(), prctl_set_pdeathsig() and other settings of a thread are read back and shown', () => {
  const result = asRoot(`
    import * as p from '@pkg/sys/prctl'
    import { prctl_set_name } from '@pkg/sys/process'
    const found = []
    prctl_set_name('short'); found.push(p.prctl_get_name())
    p.prctl_set_no_new_privs(); found.push(p.prctl_get_no_new_privs(), status('NoNewPrivs'))
    p.prctl_set_pdeathsig(c.SIGUSR2); found.push(p.prctl_get_pdeathsig(), code(() => p.prctl_set_pdeathsig(99)))
    p.prctl_set_dumpable(false); found.push(p.prctl_get_dumpable(), statSync('/proc/self/stat').uid !== statSync('/proc/self').uid || 'root')
    p.prctl_set_dumpable(true); found.push(p.prctl_get_dumpable())
    p.prctl_set_timerslack(123456)
    found.push(p.prctl_get_timerslack(), readFileSync('/proc/self/timerslack_ns', 'utf8').trim(), code(() => p.prctl_set_timerslack(-1)))
    p.prctl_set_thp_disable(true); found.push(p.prctl_get_thp_disable(), status('THP_enabled'))
    found.push(p.prctl_get_seccomp(), code(() => p.prctl_get_io_flusher()), code(() => p.prctl_set_io_flusher(true)))
    found.push(code(() => p.prctl_get_speculation_ctrl(99)), code(() => p.prctl_set_speculation_ctrl(99, 2)))
    found.push(['none', 'EINVAL'].includes(code(() => p.prctl_set_ptracer(0))))
    done(found)`)
  expect(result).toEqual([
    'short',
    true,
    '1',
    12,
    'EINVAL',
    false,
    expect.anything(),
    true,
    123_456,
    '123456',
    'RangeError',
    true,
    '0',
    0,
    'EPERM',
    'EPERM',
    'ENODEV',
    'ENODEV',
    true,
  ])
})
