// OwnedFd: one owner, and no number that may be another file's by now.
import { fstatSync, openSync } from 'node:fs'
import { afterEach, describe, expect, test } from 'vitest'
import { AT_FDCWD } from '../src/constants.ts'
import { dirfdNumber, fdNumber, OwnedFd, traceFds } from '../src/fd.ts'
import { syscall } from '../src/raw.ts'

const open = (): OwnedFd => new OwnedFd(openSync('/dev/null', 'r'))
const isOpen = (fd: number): boolean => {
  try {
    return fstatSync(fd).isCharacterDevice()
  } catch {
    return false
  }
}

describe('OwnedFd', () => {
  test('is closed by using, by close() once, and by nothing else', () => {
    let number = -1
    {
      using file = open()
      number = file.fd
      expect(isOpen(number)).toBe(true)
    }
    expect(isOpen(number)).toBe(false)
    const file = open()
    const { fd } = file
    file.close()
    expect([file.closed, isOpen(fd)]).toEqual([true, false])
    const other = open() // takes the number again
    expect(other.fd).toBe(fd)
    file.close()
    file[Symbol.dispose]()
    expect(isOpen(other.fd)).toBe(true)
    other.close()
  })

  test('throws when its number is asked for after close() or release()', () => {
    const file = open()
    const number = file.release()
    expect([file.closed, isOpen(number)]).toEqual([true, true])
    expect(() => file.fd).toThrow(TypeError)
    expect(() => file.release()).toThrow(TypeError)
    expect(() => fdNumber(file)).toThrow('is closed')
    syscall('close', number)
  })

  test.each([-1, 1.5, Number.NaN, 2 ** 31, Infinity, '3' as unknown as number])('refuses %d', (fd) => {
    expect(() => new OwnedFd(fd)).toThrow(RangeError)
  })
})

describe('fdNumber() and dirfdNumber()', () => {
  test('take numbers and owned ones; only dirfdNumber() takes AT_FDCWD', () => {
    using file = open()
    expect([fdNumber(file), fdNumber(0), dirfdNumber(file), dirfdNumber(AT_FDCWD)]).toEqual([
      file.fd,
      0,
      file.fd,
      AT_FDCWD,
    ])
    for (const bad of [-1, AT_FDCWD, 1.5, 2 ** 31]) expect(() => fdNumber(bad)).toThrow(RangeError)
    expect(() => dirfdNumber(-2)).toThrow(RangeError)
    for (const bad of [undefined, null, '0', {}, 3n]) {
      expect(() => fdNumber(bad as number)).toThrow(TypeError)
    }
  })
})

describe('traceFds()', () => {
  afterEach(() => traceFds(undefined))

  test('is told of each descriptor made and given up', () => {
    const events: string[] = []
    traceFds({ opened: () => events.push('opened'), closed: () => events.push('closed') })
    const first = open()
    const second = open()
    first.close()
    first.close()
    syscall('close', second.release())
    expect(events).toEqual(['opened', 'opened', 'closed', 'closed'])
    traceFds(undefined)
    open().close()
    expect(events).toHaveLength(4)
  })
})
