import { describe, expect, test } from 'vitest'
import { isSoloInit, parseMountinfo, usersOf } from '../src/machine.ts'

describe('parseMountinfo()', () => {
  // The first is the example of proc_pid_mountinfo(5).
  const sample = `36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue
24 27 0:6 / /dev rw,relatime - devtmpfs devtmpfs rw,size=12334460k
40 27 0:30 / /mnt/my\\040disk\\134 rw shared:7 master:2 - tmpfs none rw
`
  test('reads lines with none, one and several optional fields', () => {
    expect(parseMountinfo(sample).map(({ target, type, source }) => [target, type, source])).toEqual([
      ['/mnt2', 'ext3', '/dev/root'],
      ['/dev', 'devtmpfs', 'devtmpfs'],
      ['/mnt/my disk\\', 'tmpfs', 'none'],
    ])
  })

  test('gives the options of the mount', () => {
    expect(parseMountinfo(sample)[0]?.options).toBe('rw,noatime')
  })
})

test('usersOf() gives the first name of each user who owns a process', () => {
  const passwd =
    'root:x:0:0::/:/bin/sh\ntoor:x:0:0::/:/bin/sh\nweb:x:61202:61202::/:/\nbob:x:1000:1000::/:/\n'
  expect(usersOf([{ uid: 0 }, { uid: 61_202 }, { uid: 5 }], passwd)).toEqual({ 0: 'root', 61_202: 'web' })
})

test('isSoloInit() knows Bun running init.js from other first processes', () => {
  expect(isSoloInit('/bin/bun /sbin/init.js')).toBe(true)
  expect(isSoloInit('/bin/bun --smol /sbin/init.js')).toBe(true)
  for (const other of ['/sbin/init splash', '/bin/bun /srv/server.js', 'node /sbin/init.js', undefined]) {
    expect(isSoloInit(other)).toBe(false)
  }
})
