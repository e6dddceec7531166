import { AT_FDCWD } from '@pkg/sys/constants'
import { describe, expect, test } from 'vitest'
import { parseFields, parseSize, readText, unlessGone } from '../src/proc.ts'

describe('readText()', () => {
  test('reads a file of /proc that is longer than one chunk', () => {
    const maps = readText(AT_FDCWD, '/proc/self/maps') ?? ''
    expect(maps.length).toBeGreaterThan(4096)
    expect(maps.endsWith('\n')).toBe(true)
  })

  test('gives null for a process that is not there', () => {
    // PIDs end at 2^22 (PID_MAX_LIMIT, linux/threads.h).
    expect(readText(AT_FDCWD, '/proc/4194305/status')).toBeNull()
  })

  test('throws what is no sign of a process that ended: reading a folder', () => {
    expect(() => readText(AT_FDCWD, '/proc')).toThrow(/EISDIR/)
  })
})

test('unlessGone() lets other errors through', () => {
  const fail = (): never => {
    throw new RangeError('a mistake')
  }
  expect(() => unlessGone(fail)).toThrow(RangeError)
})

test('parseFields() reads "Name: value" lines, and values that hold a colon', () => {
  expect([...parseFields('Name:\ta:b\nVmRSS:\t    1720 kB\n\nnonsense\n')]).toEqual([
    ['Name', 'a:b'],
    ['VmRSS', '1720 kB'],
  ])
})

test('parseSize() gives bytes for kB and null for anything else', () => {
  expect(parseSize('1720 kB')).toBe(1_761_280)
  expect(parseSize('1720')).toBeNull()
  expect(parseSize(undefined)).toBeNull()
})
