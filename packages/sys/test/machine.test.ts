// What is the machine's: changes of files told, quotas' neighbour swap, keys, randomness, the log. Some as root of it.
import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import * as c from '../src/constants.ts'
import { AT_FDCWD } from '../src/constants.ts'
import * as fanotify from '../src/fanotify.ts'
import * as inotify from '../src/inotify.ts'
import { openat } from '../src/fs.ts'
import { read, write } from '../src/io.ts'
import * as key from '../src/key.ts'
import * as quota from '../src/quota.ts'
import { reactor } from '../src/reactor.ts'
import { spawn } from '../src/spawn.ts'
import * as system from '../src/system.ts'
import { clock_nanosleep } from '../src/time.ts'
import { scriptResult } from './child-script.ts'

function codeOf(action: () => unknown): unknown {
  try {
    return action()
  } catch (error) {
    return (error as { code?: string }).code ?? (error as Error).name
  }
}

/** What reading an invalidated key says in the end. */
function codeOfFreed(id: number): unknown {
  // The kernel's collector first takes a dead key out of its rings and frees it later, in another pass
  // (security/keys/gc.c). Between the two the number still finds the key, which we no longer possess: EACCES.
  const deadline = performance.now() + 10_000
  for (;;) {
    const code = codeOf(() => key.keyctl_read(id))
    if (code !== 'EACCES' || performance.now() > deadline) return code
    clock_nanosleep(c.CLOCK_MONOTONIC, 0, 1_000_000n)
  }
}

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
const text = (value: Uint8Array): string => new TextDecoder().decode(value)
let folder = ''
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'solo-machine-'))
})
afterEach(() => rmSync(folder, { recursive: true }))

describe('changes of files', () => {
  test('inotify_init1(), inotify_add_watch() and inotify_rm_watch() tell names and renames', async () => {
    using fd = inotify.inotify_init1(c.IN_NONBLOCK)
    const watch = inotify.inotify_add_watch(fd, folder, c.IN_CLOSE_WRITE | c.IN_MOVE)
    expect(inotify.inotifyEvents(fd)).toEqual([])
    writeFileSync(join(folder, 'first'), 'x')
    execFileSync('mv', [join(folder, 'first'), join(folder, 'zweite-ü')])
    await reactor().readable(fd)
    const [written, from, to] = inotify.inotifyEvents(fd)
    expect(written).toEqual({ wd: watch, mask: c.IN_CLOSE_WRITE, cookie: 0, name: 'first' })
    expect([from?.name, from?.mask, to?.name, to?.mask]).toEqual([
      'first',
      c.IN_MOVED_FROM,
      'zweite-ü',
      c.IN_MOVED_TO,
    ])
    expect(from?.cookie).toBe(to?.cookie)
    inotify.inotify_rm_watch(fd, watch)
    expect(inotify.inotifyEvents(fd)).toEqual([{ wd: watch, mask: c.IN_IGNORED, cookie: 0, name: '' }])
    expect(codeOf(() => inotify.inotify_rm_watch(fd, watch))).toBe('EINVAL')
    expect(codeOf(() => inotify.inotify_add_watch(fd, '/none', c.IN_OPEN))).toBe('ENOENT')
  })

  test('fanotify_init() and fanotify_mark() tell who opened what, and ask before', async () => {
    writeFileSync(join(folder, 'secret'), 'content')
    using fd = fanotify.fanotify_init(c.FAN_CLASS_CONTENT | c.FAN_NONBLOCK, c.O_RDONLY)
    fanotify.fanotify_mark(fd, c.FAN_MARK_ADD, c.FAN_OPEN_PERM | c.FAN_EVENT_ON_CHILD, AT_FDCWD, folder)
    expect(fanotify.fanotifyEvents(fd)).toEqual([])
    for (const [response, status] of [
      [c.FAN_DENY, 1],
      [c.FAN_ALLOW, 0],
    ] as const) {
      using child = spawn({
        file: '/bin/cat',
        args: [join(folder, 'secret')],
        env: {},
        stdio: ['null', 'null', 'null'],
      })
      await reactor().readable(fd)
      const [event] = fanotify.fanotifyEvents(fd)
      if (event?.fd === undefined) throw new TypeError('no event')
      using file = event.fd
      expect([event.pid, Number(event.mask)]).toEqual([child.pid, c.FAN_OPEN_PERM])
      const buffer = new Uint8Array(16)
      expect(text(buffer.subarray(0, read(file, buffer)))).toBe('content')
      fanotify.fanotifyRespond(fd, event, response)
      expect((await child.wait()).code).toBe(status)
    }
    expect(codeOf(() => fanotify.fanotify_mark(fd, c.FAN_MARK_ADD, 0, AT_FDCWD, folder))).toBe('EINVAL')
    expect(codeOf(() => fanotify.fanotify_init(0x4000_0000, 0))).toBe('EINVAL')
  })
})

test('swapon() and swapoff() are what /proc/swaps shows', () => {
  const file = join(folder, 'swap')
  execFileSync('dd', ['if=/dev/zero', `of=${file}`, 'bs=1M', 'count=2', 'status=none'])
  execFileSync('chmod', ['600', file])
  execFileSync('mkswap', [file], { stdio: 'ignore' })
  // The lowest priority, and gone at once.
  quota.swapon(file, c.SWAP_FLAG_PREFER | 1)
  const line = readFileSync('/proc/swaps', 'utf8')
    .split('\n')
    .find((one) => one.startsWith(file))
  quota.swapoff(file)
  expect(line?.trim().split(/\s+/).slice(1)).toEqual(['file', '2044', '0', '1'])
  expect(readFileSync('/proc/swaps', 'utf8')).not.toContain(file)
  expect(codeOf(() => quota.swapoff(file))).toBe('EINVAL')
  writeFileSync(file, 'x'.repeat(10_000))
  expect(codeOf(() => quota.swapon(file))).toBe('EINVAL')
})

describe('keys', () => {
  test('add_key(), keyctl_read(), keyctl_describe() and keyctl_update() keep a secret', () => {
    const made = key.add_key('user', 'solo:one;two', bytes('first'), c.KEY_SPEC_PROCESS_KEYRING)
    expect(text(key.keyctl_read(made))).toBe('first')
    key.keyctl_update(made, bytes('x'.repeat(1000)))
    expect(key.keyctl_read(made)).toHaveLength(1000)
    const own = { uid: process.getuid?.(), gid: process.getgid?.() }
    expect(key.keyctl_describe(made)).toEqual({
      type: 'user',
      ...own,
      permissions: 0x3f01_0000,
      description: 'solo:one;two',
    })
    key.keyctl_setperm(made, 0x3f3f_0000)
    const number = made.toString(16).padStart(8, '0')
    expect(readFileSync('/proc/keys', 'utf8')).toMatch(
      new RegExp(`^${number} .* 3f3f0000 .* user +solo:one;two`, 'm'),
    )
    expect(codeOf(() => key.add_key('none', 'x', null, c.KEY_SPEC_PROCESS_KEYRING))).toBe('ENODEV')
    key.keyctl_unlink(made, c.KEY_SPEC_PROCESS_KEYRING)
    expect(codeOf(() => key.keyctl_search(c.KEY_SPEC_PROCESS_KEYRING, 'user', 'solo:one;two'))).toBe('ENOKEY')
  })

  test('request_key(), keyctl_search() and keyctl_link(), keyctl_revoke() and their like: rings', () => {
    const ring = key.add_key('keyring', 'solo-ring', null, c.KEY_SPEC_PROCESS_KEYRING)
    const made = key.add_key('user', 'solo-wanted', bytes('x'), ring)
    expect(key.keyctl_search(c.KEY_SPEC_PROCESS_KEYRING, 'user', 'solo-wanted')).toBe(made)
    expect(key.request_key('user', 'solo-wanted')).toBe(made)
    expect([...new Int32Array(key.keyctl_read(ring).buffer)]).toEqual([made])
    const own = key.keyctl_get_keyring_id(c.KEY_SPEC_PROCESS_KEYRING)
    key.keyctl_link(made, own)
    key.keyctl_clear(ring)
    expect(key.keyctl_read(ring)).toHaveLength(0)
    expect(text(key.keyctl_read(made))).toBe('x')
    key.keyctl_set_timeout(made, 100)
    expect(readFileSync('/proc/keys', 'utf8')).toMatch(/ (1m|9\ds|100s|99s) .*solo-wanted/)
    key.keyctl_revoke(made)
    expect(codeOf(() => key.keyctl_read(made))).toBe('EKEYREVOKED')
    expect(codeOf(() => key.request_key('user', 'solo-none'))).toBe('ENOKEY')
    const other = key.add_key('user', 'solo-other', bytes('x'), ring)
    key.keyctl_invalidate(other)
    expect(codeOfFreed(other)).toBe('ENOKEY')
    key.keyctl_unlink(ring, own)
  })

  test('keyctl_move(), keyctl_chown() and keyctl_restrict_keyring(): where a key is, whose, and that no more come', () => {
    const [from, to] = ['solo-from', 'solo-to'].map((name) =>
      key.add_key('keyring', name, null, c.KEY_SPEC_PROCESS_KEYRING),
    ) as [number, number]
    const keysOf = (ring: number): number[] => [...new Int32Array(key.keyctl_read(ring).slice().buffer)]
    const made = key.add_key('user', 'solo-moved', bytes('x'), from)
    key.keyctl_move(made, from, to)
    expect([keysOf(from), keysOf(to)]).toEqual([[], [made]])
    expect(codeOf(() => key.keyctl_move(made, from, to))).toBe('ENOENT')
    const same = key.add_key('user', 'solo-moved', bytes('y'), from)
    expect(codeOf(() => key.keyctl_move(same, from, to, c.KEYCTL_MOVE_EXCL))).toBe('EEXIST')
    key.keyctl_setperm(made, 0x3f3f_0000)
    key.keyctl_chown(made, -1, 12_345)
    expect(key.keyctl_describe(made)).toMatchObject({ uid: process.getuid?.(), gid: 12_345 })
    key.keyctl_restrict_keyring(to)
    expect(codeOf(() => key.add_key('user', 'solo-late', bytes('x'), to))).toBe('EPERM')
    expect(keysOf(to)).toEqual([made])
    expect(codeOf(() => key.keyctl_restrict_keyring(to))).toBe('EEXIST')
    expect(codeOf(() => key.keyctl_restrict_keyring(from, 'user', 'none'))).toBe('ENOENT')
    for (const ring of [from, to]) key.keyctl_unlink(ring, c.KEY_SPEC_PROCESS_KEYRING)
  })

  test('keyctl_get_persistent() links the ring that outlives sessions', () => {
    const found = codeOf(() => key.keyctl_get_persistent(-1, c.KEY_SPEC_PROCESS_KEYRING))
    // Kernels without CONFIG_PERSISTENT_KEYRINGS have no such ring.
    if (!existsSync('/proc/sys/kernel/keys/persistent_keyring_expiry'))
      return expect(found).toBe('EOPNOTSUPP')
    const ring = found as number
    expect(key.keyctl_describe(ring)).toMatchObject({
      type: 'keyring',
      description: `_persistent.${process.getuid?.()}`,
    })
    const ours = new Int32Array(key.keyctl_read(c.KEY_SPEC_PROCESS_KEYRING).slice().buffer)
    key.keyctl_unlink(ring, c.KEY_SPEC_PROCESS_KEYRING)
    return expect([...ours]).toContain(ring)
  })

  test('keyctl_join_session_keyring() gives a new session', () => {
    const result = scriptResult(`
      import { KEY_SPEC_SESSION_KEYRING } from '@pkg/sys/constants'
      import { keyctl_describe, keyctl_get_keyring_id, keyctl_join_session_keyring } from '@pkg/sys/key'
      const id = keyctl_join_session_keyring('solo-session')
      process.stdout.write(JSON.stringify([id === keyctl_get_keyring_id(KEY_SPEC_SESSION_KEYRING), keyctl_describe(id).description]))`)
    expect(result).toEqual([true, 'solo-session'])
  })
})

describe('the machine', () => {
  test('getrandom() fills every byte, with other ones each time', () => {
    const [first, second] = [new Uint8Array(100_000), new Uint8Array(100_000)]
    system.getrandom(first)
    system.getrandom(second, c.GRND_NONBLOCK)
    expect(first).not.toEqual(second)
    expect(new Set(first).size).toBe(256)
    expect(codeOf(() => system.getrandom(first, 99))).toBe('EINVAL')
    expect(() => system.getrandom('x' as unknown as Uint8Array)).toThrow(TypeError)
  })

  test('syslog_read_all(), syslog_size_buffer() and syslog_console_level() are the kernel’s log', () => {
    const mark = `solo-syslog-${process.pid}`
    using log = openat(AT_FDCWD, '/dev/kmsg', c.O_WRONLY)
    write(log, bytes(`<5>${mark}\n`))
    expect(system.syslog_size_buffer()).toBeGreaterThan(4095)
    expect(system.syslog_read_all().includes(mark)).toBe(true)
    expect(system.syslog_read_all(10).length).toBeLessThanOrEqual(10)
    const level = (): string => readFileSync('/proc/sys/kernel/printk', 'utf8').split('\t')[0] ?? ''
    const before = Number(level())
    system.syslog_console_level(before === 4 ? 5 : 4)
    expect(Number(level())).toBe(before === 4 ? 5 : 4)
    system.syslog_console_level(before)
    expect(codeOf(() => system.syslog_console_level(0))).toBe('EINVAL')
  })

  test('acct() has each process that ends written down', async () => {
    const file = join(folder, 'accounts')
    writeFileSync(file, '')
    system.acct(file)
    using child = spawn({ file: '/bin/true', args: [], env: {} })
    await child.wait()
    system.acct(null)
    expect(statSync(file).size % 64).toBe(0)
    expect(readFileSync(file, 'latin1')).toContain('true\0')
    expect(codeOf(() => system.acct(folder))).toBe('EISDIR')
  })

  test('lsm_list_modules() are those of /sys/kernel/security/lsm', () => {
    const names = scriptResult(
      `
      import { readFileSync } from 'node:fs'
      import { mount } from '@pkg/sys/mount'
      mount('securityfs', '/sys/kernel/security', 'securityfs')
      process.stdout.write(JSON.stringify(readFileSync('/sys/kernel/security/lsm', 'utf8').split(',').length))`,
      { wrapper: ['unshare', '-m'] },
    )
    expect(system.lsm_list_modules()).toHaveLength(Number(names))
    // LSM_ID_LANDLOCK (linux/lsm.h), which landlock.test.ts finds working.
    expect(system.lsm_list_modules()).toContain(110)
  })
})
