import {
  MOUNT_ATTR__ATIME,
  MOUNT_ATTR_NOATIME,
  MOUNT_ATTR_NODEV,
  MOUNT_ATTR_NOSUID,
  MOUNT_ATTR_RDONLY,
  MS_NOATIME,
  MS_NODEV,
  MS_NOSUID,
  MS_RDONLY,
  MS_RELATIME,
  MS_SYNCHRONOUS,
} from '@pkg/sys/constants'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { parseMountOptions } from '../src/mount/options.ts'

test('parseMountOptions() tells the mount from the file system', () => {
  expect(parseMountOptions('ro,nosuid,nodev,size=10m,errors=remount-ro,sync')).toEqual({
    attributesSet: MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV,
    attributesCleared: 0,
    superblock: [
      ['ro', null],
      ['size', '10m'],
      ['errors', 'remount-ro'],
      ['sync', null],
    ],
    flags: MS_RDONLY | MS_NOSUID | MS_NODEV | MS_SYNCHRONOUS,
    data: 'size=10m,errors=remount-ro',
  })
})

test('parseMountOptions() lets the later word win', () => {
  expect(parseMountOptions('ro,rw')).toMatchObject({
    attributesSet: 0,
    attributesCleared: MOUNT_ATTR_RDONLY,
    flags: 0,
  })
  expect(parseMountOptions('suid,nosuid')).toMatchObject({
    attributesSet: MOUNT_ATTR_NOSUID,
    attributesCleared: 0,
  })
  expect(parseMountOptions('nosuid,suid')).toMatchObject({
    attributesSet: 0,
    attributesCleared: MOUNT_ATTR_NOSUID,
  })
})

test('parseMountOptions() clears the whole field of access times before it sets one, as mount_setattr() demands', () => {
  expect(parseMountOptions('noatime')).toMatchObject({
    attributesSet: MOUNT_ATTR_NOATIME,
    attributesCleared: MOUNT_ATTR__ATIME,
    flags: MS_NOATIME,
  })
  expect(parseMountOptions('noatime,atime')).toMatchObject({
    attributesSet: 0,
    attributesCleared: MOUNT_ATTR__ATIME,
    flags: MS_RELATIME,
  })
})

test('parseMountOptions() keeps words for fstab and systemd from the kernel', () => {
  const nothing = { attributesSet: 0, attributesCleared: 0, superblock: [], flags: 0, data: '' }
  expect(
    parseMountOptions('defaults,noauto,nofail,_netdev,nouser,x-systemd.automount,X-mount.mkdir=0755,,'),
  ).toEqual(nothing)
  expect(parseMountOptions('')).toEqual(nothing)
})

test('parseMountOptions() keeps commas in quotes', () => {
  const parsed = parseMountOptions('context="a:b,c",size=1')
  expect(parsed.superblock).toEqual([
    ['context', 'a:b,c'],
    ['size', '1'],
  ])
  expect(parsed.data).toBe('context="a:b,c",size=1')
})

test.each([['a\0b'], ['context="a'], ['=5']])('parseMountOptions() refuses %j', (options) => {
  expect(() => parseMountOptions(options)).toThrow(TypeError)
})

test('parseMountOptions() passes on every word that it does not know, in order', () => {
  const word = fc.stringMatching(/^z[a-w]{1,8}(=[a-z0-9:/.]{0,8})?$/)
  fc.assert(
    fc.property(fc.array(word), (words) => {
      const parsed = parseMountOptions(words.join(','))
      expect(parsed.superblock.map(([key, value]) => (value === null ? key : `${key}=${value}`))).toEqual(
        words,
      )
      expect(parsed.data).toBe(words.join(','))
      expect(parsed.flags).toBe(0)
    }),
  )
})
