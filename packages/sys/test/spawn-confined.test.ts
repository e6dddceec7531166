// Children in user namespaces, with their own root, few capabilities and a filter, as they and /proc see it.
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import * as c from '../src/constants.ts'
import { openat } from '../src/fs.ts'
import { landlock_add_rule_path, landlock_create_ruleset } from '../src/landlock.ts'
import { seccompErrno, seccompFilter } from '../src/seccomp.ts'
import { spawn, type SpawnOptions } from '../src/spawn.ts'
import { shell } from './child-output.ts'
import { scriptResult } from './child-script.ts'
import { leftOpen, zombieCount } from './left-behind.ts'

const inside: Partial<SpawnOptions> = {
  namespaces: c.CLONE_NEWUSER,
  uidMap: { inside: 0, outside: process.getuid?.() ?? 0 },
  gidMap: { inside: 0, outside: process.getgid?.() ?? 0 },
}
const status = "sed -n 's/^Cap\\(Prm\\|Eff\\|Bnd\\|Amb\\):[[:space:]]*//p' /proc/self/status"

let folder = ''
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'solo-confined-'))
})
afterEach(() => rmSync(folder, { recursive: true }))

describe('spawn() makes', () => {
  test('clone3 and execve: the program runs with its arguments', async () => {
    using child = spawn({ file: '/bin/sh', args: ['-c', 'exit 4'], env: {} })
    expect((await child.wait()).code).toBe(4)
  })

  test('a user namespace with maps', async () => {
    expect(
      await shell('id -u; id -g; cat /proc/self/uid_map /proc/self/gid_map /proc/self/setgroups', inside),
    ).toMatch(/^0\n0\n +0 +\d+ +1\n +0 +\d+ +1\ndeny\n$/)
    const other = { ...inside, uidMap: { inside: 1234, outside: process.getuid?.() ?? 0 } }
    expect(await shell('id -u', other)).toBe('1234\n')
    const bare: Partial<SpawnOptions> = { namespaces: c.CLONE_NEWUSER }
    expect(await shell('id -u', bare)).toBe('65534\n')
    const wrong = { ...inside, uidMap: { inside: 0, outside: 54_321 } }
    await expect(shell('id', wrong)).rejects.toThrow(/ write\(\$\d+, "0 54321 1", 9\): EPERM/)
  })

  // Needs root: ids of others are mapped.
  test('a user namespace with ranges of users and groups, which the parent maps', async () => {
    const ranges = [
      { inside: 0, outside: 100_000, count: 1000 },
      { inside: 5000, outside: 300_000, count: 2 },
    ]
    const ids = { uid: 5001, gid: 7, groups: [999] }
    const ranged: Partial<SpawnOptions> = { ...inside, ...ids, uidMap: ranges, gidMap: ranges }
    const script = 'id -u; id -G; cat /proc/self/uid_map /proc/self/setgroups'
    expect(
      (await shell(script, ranged)).split('\n').map((line) => line.trim().split(/ +/).join(' ')),
    ).toEqual(['5001', '7 999', '0 100000 1000', '5000 300000 2', 'allow', ''])
    const overlapping = { ...ranged, gidMap: [...ranges, { inside: 0, outside: 5 }] }
    const failures = async (): Promise<void> => {
      await expect(shell('id', overlapping)).rejects.toThrow(/^spawn \/proc\/\d+\/gid_map: write: EINVAL/)
      await expect(shell('id', { ...ranged, uid: 4999 })).rejects.toThrow(
        'setresuid(4999, 4999, 4999): EINVAL',
      )
    }
    expect(await leftOpen(failures)).toBe(0)
    expect(zombieCount()).toBe(0)
  })

  test('a user namespace for a user who is not root', () => {
    const result = scriptResult(
      `
      import { CLONE_NEWUSER } from '@pkg/sys/constants'
      import { spawn } from '@pkg/sys/spawn'
      using child = spawn({ file: '/bin/sh', args: ['-c', 'id -u'], env: { PATH: '/usr/bin:/bin' }, stdio: ['null', 'pipe', 'inherit'],
        namespaces: CLONE_NEWUSER, uidMap: { inside: 0, outside: process.getuid() } })
      const text = await new Response(Bun.file(child.stdout.fd)).text()
      process.stdout.write(JSON.stringify([process.getuid(), text]))`,
      { wrapper: ['setpriv', '--reuid', '61184', '--clear-groups'] },
    )
    expect(result).toEqual([61_184, '0\n'])
  })

  test('steps of the caller’s: mounts that nobody else sees', async () => {
    const text = await shell(`ls ${folder}; readlink /proc/self/ns/mnt`, {
      ...inside,
      namespaces: c.CLONE_NEWUSER | c.CLONE_NEWNS,
      setup(child) {
        child.call('mount', 'none', '/', null, c.MS_REC | c.MS_PRIVATE, null)
        child.call('mount', 'tmpfs', folder, 'tmpfs', 0, null)
        child.call('mkdirat', c.AT_FDCWD, `${folder}/inside`, 0o700)
      },
    })
    expect(text).toMatch(/^inside\nmnt:/)
    const failing: Partial<SpawnOptions> = { setup: (child) => void child.call('umount2', '/none', 0) }
    await expect(shell('true', failing)).rejects.toThrow(/ umount2\(.*\): ENOENT/)
  })

  test('no capabilities, or exactly those that are asked for', async () => {
    const none = '0000000000000000'
    expect(await shell(status, { ...inside, capabilities: [] })).toBe(`${none}\n${none}\n${none}\n${none}\n`)
    const kill = '0000000000000020'
    expect(await shell(status, { ...inside, capabilities: [c.CAP_KILL] })).toBe(`${kill}\n`.repeat(4))
    expect(() => spawn({ file: '/bin/true', env: {}, capabilities: [99] })).toThrow(RangeError)
  })

  test('capabilities for a user who is not root', async () => {
    const bind = '0000000000000400'
    const options = { uid: 61_184, gid: 61_184, groups: [], capabilities: [c.CAP_NET_BIND_SERVICE] }
    expect(await shell(`id -u; ${status}`, options)).toBe(`61184\n${`${bind}\n`.repeat(4)}`)
  })

  test('a seccomp filter, over the shell and its children', async () => {
    const filter = seccompFilter({
      rules: [
        { calls: ['socket'], action: seccompErrno('ENOANO') },
        { calls: ['mkdir', 'mkdirat'], action: seccompErrno('EBADE') },
      ],
    })
    const text = await shell(
      `mkdir ${folder}/x 2>&1; sed -n 's/^Seccomp:[[:space:]]*//p' /proc/self/status`,
      {
        seccomp: filter,
        env: { PATH: '/usr/bin:/bin', LC_ALL: 'C' },
      },
    )
    expect(text).toBe(`mkdir: cannot create directory '${folder}/x': Invalid exchange\n2\n`)
    expect(() => spawn({ file: '/bin/true', env: {}, seccomp: new Uint8Array(7) })).toThrow(RangeError)
    expect(() => spawn({ file: '/bin/true', env: {}, seccomp: filter.subarray(0, 8) })).toThrow(
      / seccomp\(1, 0, m\d\): EINVAL/,
    )
  })

  test('secure bits, by which root gets nothing at exec', async () => {
    const securebits = c.SECBIT_NOROOT | c.SECBIT_NOROOT_LOCKED
    const text = await shell(status, { ...inside, securebits })
    const [permitted, effective, bounding] = text.split('\n')
    expect([permitted, effective]).toEqual(['0'.repeat(16), '0'.repeat(16)])
    expect(bounding).not.toBe('0'.repeat(16))
  })

  test('a Landlock ruleset, whatever number it has and others get', async () => {
    const make = c.LANDLOCK_ACCESS_FS_MAKE_REG
    using ruleset = landlock_create_ruleset({ handled_access_fs: make })
    for (const name of ['in', 'out']) mkdirSync(join(folder, name))
    using beneath = openat(c.AT_FDCWD, join(folder, 'in'), c.O_PATH)
    landlock_add_rule_path(ruleset, make, beneath)
    const script = `cd ${folder}; touch in/x && echo made; touch out/x 2>/dev/null || echo refused
      sed -n 's/^NoNewPrivs:[[:space:]]*//p' /proc/self/status`
    const fds = { [ruleset.fd]: beneath }
    expect(await shell(script, { landlock: ruleset, fds })).toBe('made\nrefused\n1\n')
    await expect(shell('true', { landlock: beneath })).rejects.toThrow(
      /landlock_restrict_self\(\$\d+, 0\): EBADF/,
    )
  })

  test('its own root by an overlay and pivot_root', async () => {
    const text = await shell('echo /*; cat /proc/1/comm; touch /usr/new && ls /usr/new; id -u', {
      ...inside,
      namespaces: c.CLONE_NEWUSER | c.CLONE_NEWNS | c.CLONE_NEWPID,
      setup(child) {
        child.call('mount', 'none', '/', null, c.MS_REC | c.MS_PRIVATE, null)
        child.call('mount', 'tmpfs', folder, 'tmpfs', 0, null)
        child.call('chdir', folder)
        for (const name of ['usr', 'proc', 'upper', 'work']) child.call('mkdirat', c.AT_FDCWD, name, 0o755)
        for (const name of ['bin', 'lib', 'lib64']) child.call('symlinkat', `usr/${name}`, c.AT_FDCWD, name)
        child.call(
          'mount',
          'overlay',
          'usr',
          'overlay',
          0,
          'lowerdir=/usr,upperdir=upper,workdir=work,userxattr',
        )
        child.call('mount', 'proc', 'proc', 'proc', 0, null)
        child.call('pivot_root', '.', '.')
        child.call('umount2', '.', c.MNT_DETACH)
        child.call('chdir', '/')
      },
    })
    expect(text).toBe('/bin /lib /lib64 /proc /upper /usr /work\nsh\n/usr/new\n0\n')
    expect(existsSync('/usr/new')).toBe(false)
  })
})
