// Errors of the kernel, beside those that Node makes of the same failures.
import { mkdtempSync, openSync, rmdirSync, writeFileSync, readlinkSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { getSystemErrorMap } from 'node:util'
import { describe, expect, test } from 'vitest'
import { AT_FDCWD, AT_REMOVEDIR, O_RDONLY } from '../src/constants.ts'
import { check, errnoMessage, errnoName, errnoNumber, isError, isSysError, SysError } from '../src/errno.ts'
import { openat, readlinkat, unlinkat } from '../src/fs.ts'

function thrown(action: () => unknown): { code?: string; errno?: number; path?: string } {
  try {
    action()
  } catch (error) {
    return error as { code?: string; errno?: number; path?: string }
  }
  throw new Error('it did not throw')
}

describe('SysError', () => {
  test('has code, errno and path of the error that node:fs throws for the same failure', () => {
    const folder = mkdtempSync(join(tmpdir(), 'solo-errno-'))
    const file = join(folder, 'file')
    writeFileSync(file, '')
    const pairs: [string, () => unknown, () => unknown][] = [
      ['/none', () => openSync('/none', 'r'), () => openat(AT_FDCWD, '/none', O_RDONLY)],
      [`${file}/x`, () => openSync(`${file}/x`, 'r'), () => openat(AT_FDCWD, `${file}/x`, O_RDONLY)],
      [folder, () => rmdirSync(folder), () => unlinkat(AT_FDCWD, folder, AT_REMOVEDIR)],
      [file, () => readlinkSync(file), () => readlinkat(AT_FDCWD, file)],
    ]
    for (const [path, node, ours] of pairs) {
      const [expected, error] = [thrown(node), thrown(ours)]
      expect([error.code, error.errno, error.path]).toEqual([expected.code, expected.errno, path])
      expect(error).toBeInstanceOf(SysError)
      expect(error).toBeInstanceOf(Error)
    }
    rmSync(folder, { recursive: true })
  })

  test('names call, object, attempt, reason and the kernel’s own words', () => {
    const cause = new Error('why')
    const options = {
      errno: 22,
      syscall: 'mount',
      path: '/x',
      attempt: 'from /dev/vda',
      detail: 'bad option',
      cause,
    }
    const error = new SysError(options)
    expect(error.message).toBe('mount /x: from /dev/vda: EINVAL: Invalid argument (bad option)')
    expect(error.cause).toBe(cause)
    expect(Object.hasOwn(new SysError({ errno: 1, syscall: 'sync' }), 'path')).toBe(false)
  })

  test('is found by isSysError(), by code too', () => {
    const error: unknown = new SysError({ errno: 2, syscall: 'openat' })
    expect([isSysError(error), isSysError(error, 'ENOENT'), isSysError(error, 'EPERM')]).toEqual([
      true,
      true,
      false,
    ])
    expect([isSysError(new Error('x')), isSysError(null), isSysError({ code: 'ENOENT' }, 'ENOENT')]).toEqual([
      false,
      false,
      false,
    ])
  })
})

describe('errnoName(), errnoMessage() and errnoNumber()', () => {
  test('agree with Node’s table', () => {
    for (const [errno, [name]] of getSystemErrorMap()) {
      // libuv's own errors lie beyond those of the kernel.
      if (errno < -200) continue
      // 95 has two names; the kernel's headers have this one.
      if (name === 'ENOTSUP') {
        expect([errnoName(-errno), errnoNumber('EOPNOTSUPP')]).toEqual(['EOPNOTSUPP', -errno])
        continue
      }
      expect(errnoName(-errno)).toBe(name)
      expect(errnoNumber(name)).toBe(-errno)
    }
  })

  test('name numbers that the headers do not have', () => {
    expect([errnoName(4000), errnoMessage(4000)]).toEqual(['E4000', 'Unknown error 4000'])
    expect(() => errnoNumber('ENOPE')).toThrow(TypeError)
    expect(() => errnoNumber('toString')).toThrow(TypeError)
  })
})

test('check() passes results and throws for −4095 to −1 only', () => {
  for (const result of [0, 1, -4096, 2 ** 47, -(2 ** 40)]) expect(check(result, 'x')).toBe(result)
  for (const result of [-1, -4095]) expect(() => check(result, 'x')).toThrow(SysError)
  expect([isError(-1), isError(-4095), isError(-4096), isError(0)]).toEqual([true, true, false, false])
})
