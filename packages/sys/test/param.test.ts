// Names of interfaces, shared memory by name, and the auxiliary vector, beside ip, the C library and node:fs.
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync, statSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import * as c from '../src/constants.ts'
import { fcntl, ftruncate, memfd_create } from '../src/io.ts'
import { mmap } from '../src/memory.ts'
import { ioctl_siocgifindex, ioctl_siocgifname } from '../src/net-device.ts'
import * as param from '../src/param.ts'
import { shm_open, shm_unlink } from '../src/shm.ts'
import { socket } from '../src/socket.ts'
import { scriptResult } from './child-script.ts'

function codeOf(action: () => unknown): unknown {
  try {
    return action()
  } catch (error) {
    return (error as { code?: string }).code ?? (error as Error).name
  }
}

test('ioctl_siocgifindex() and ioctl_siocgifname() say what /sys says', () => {
  using any = socket(c.AF_UNIX, c.SOCK_DGRAM, 0)
  const index = Number(readFileSync('/sys/class/net/lo/ifindex', 'utf8'))
  expect(ioctl_siocgifindex(any, 'lo')).toBe(index)
  expect(ioctl_siocgifname(any, index)).toBe('lo')
  expect(codeOf(() => ioctl_siocgifindex(any, 'solo-none'))).toBe('ENODEV')
  expect(codeOf(() => ioctl_siocgifname(any, 99_999))).toBe('ENODEV')
  // The kernel would take the first fifteen bytes.
  expect(codeOf(() => ioctl_siocgifindex(any, 'x'.repeat(16)))).toBe('RangeError')
  using file = memfd_create('none', 0)
  expect(codeOf(() => ioctl_siocgifindex(file, 'lo'))).toBe('ENOTTY')
  const names = scriptResult(
    `
    import { AF_UNIX, SOCK_DGRAM } from '@pkg/sys/constants'
    import { ioctl_siocgifname } from '@pkg/sys/net-device'
    import { socket } from '@pkg/sys/socket'
    using any = socket(AF_UNIX, SOCK_DGRAM, 0)
    process.stdout.write(JSON.stringify(ioctl_siocgifname(any, 1)))`,
    { wrapper: ['unshare', '-rn'] },
  )
  expect(names).toBe('lo')
})

describe('shared memory', () => {
  const name = `/solo-shm-${process.pid}`

  test('shm_open() and shm_unlink(): what one process writes another reads by the name', () => {
    using memory = shm_open(name, c.O_CREAT | c.O_EXCL | c.O_RDWR, 0o600)
    try {
      expect(fcntl(memory, c.F_GETFD, 0)).toBe(c.FD_CLOEXEC)
      ftruncate(memory, 4096)
      using mapping = mmap({ lengthBytes: 4096, flags: c.MAP_SHARED, fd: memory })
      mapping.bytes.set(new TextEncoder().encode('shared'))
      // By the C library's own function, in another process.
      const read = scriptResult(`
        import { dlopen } from 'bun:ffi'
        import { readSync } from 'node:fs'
        const { symbols } = dlopen('libc.so.6', { shm_open: { args: ['ptr', 'i32', 'u32'], returns: 'i32' } })
        const fd = symbols.shm_open(new TextEncoder().encode('${name}\\0'), 0, 0)
        const buffer = new Uint8Array(6)
        readSync(fd, buffer)
        process.stdout.write(JSON.stringify(new TextDecoder().decode(buffer)))`)
      expect(read).toBe('shared')
      expect(statSync(`/dev/shm${name}`).mode & 0o777).toBe(0o600)
      expect(codeOf(() => shm_open(name, c.O_CREAT | c.O_EXCL | c.O_RDWR, 0o600))).toBe('EEXIST')
      // With as many slashes as one likes before it, or none.
      using same = shm_open(`//${name}`, c.O_RDONLY)
      using again = shm_open(name.slice(1), c.O_RDONLY)
      expect([same, again].every(({ fd }) => fd > 2)).toBe(true)
    } finally {
      shm_unlink(name)
    }
    expect(existsSync(`/dev/shm${name}`)).toBe(false)
    expect(codeOf(() => shm_unlink(name))).toBe('ENOENT')
  })

  test('shm_open() refuses names that lead elsewhere', () => {
    const refused = ['', '/', '.', '/..', '/a/b', 'a/', `/${'x'.repeat(256)}`, `/${'ü'.repeat(128)}`]
    for (const one of refused)
      expect(
        codeOf(() => shm_open(one, c.O_RDONLY)),
        one,
      ).toBe('RangeError')
    expect(codeOf(() => shm_open('a\0b', c.O_RDONLY))).toBe('TypeError')
    expect(codeOf(() => shm_open(1 as unknown as string, c.O_RDONLY))).toBe('TypeError')
    expect(codeOf(() => shm_unlink('/a/b'))).toBe('RangeError')
    expect(codeOf(() => shm_open(`/${'x'.repeat(255)}`, c.O_RDONLY))).toBe('ENOENT')
  })
})

describe('the auxiliary vector', () => {
  test('pageSize(), clockTicksPerSecond() and hardwareCapabilities() are what the C library says', () => {
    const shown = execFileSync('/bin/true', { encoding: 'utf8', env: { LD_SHOW_AUXV: '1' } })
    const valueOf = (name: string): bigint =>
      BigInt(`0x${new RegExp(`^${name}: +(?:0x)?(\\w+)`, 'm').exec(shown)?.[1]}`)
    const number = (name: string): number => Number(new RegExp(`^${name}: +(\\d+)`, 'm').exec(shown)?.[1])
    expect([param.pageSize(), param.clockTicksPerSecond()]).toEqual([
      number('AT_PAGESZ'),
      number('AT_CLKTCK'),
    ])
    expect(param.hardwareCapabilities()).toEqual({ hwcap: valueOf('AT_HWCAP'), hwcap2: valueOf('AT_HWCAP2') })
  })

  test('getauxval() is the same from /proc where prctl(2) has it not', () => {
    expect([param.getauxval(c.AT_UID), param.getauxval(c.AT_SECURE)]).toEqual([
      BigInt(process.getuid?.() ?? 0),
      0n,
    ])
    expect(param.getauxval(12_345)).toBeUndefined()
    const found = scriptResult(`
      import * as c from '@pkg/sys/constants'
      import { getauxval } from '@pkg/sys/param'
      import { prctl_set_no_new_privs } from '@pkg/sys/prctl'
      import { seccomp_set_mode_filter, seccompErrno, seccompFilter } from '@pkg/sys/seccomp'
      prctl_set_no_new_privs()
      seccomp_set_mode_filter(seccompFilter({ rules: [{ calls: ['prctl'], action: seccompErrno('EINVAL') }] }))
      process.stdout.write(JSON.stringify([c.AT_PAGESZ, c.AT_HWCAP, c.AT_UID].map((type) => String(getauxval(type)))))`)
    expect(found).toEqual([c.AT_PAGESZ, c.AT_HWCAP, c.AT_UID].map((type) => String(param.getauxval(type))))
  })
})
