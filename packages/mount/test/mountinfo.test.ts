import { execFileSync } from 'node:child_process'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  findMount,
  isMountPoint,
  mountTree,
  parseMountinfo,
  readMountinfo,
  unmountOrder,
  type MountInfo,
} from '../src/mountinfo.ts'

describe('parseMountinfo()', () => {
  test('reads the example of proc_pid_mountinfo(5)', () => {
    const line = '36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue\n'
    expect(parseMountinfo(line)).toEqual([
      {
        id: 36,
        parentId: 35,
        device: { major: 98, minor: 0 },
        root: '/mnt1',
        target: '/mnt2',
        options: 'rw,noatime',
        propagation: ['master:1'],
        type: 'ext3',
        source: '/dev/root',
        superblockOptions: 'rw,errors=continue',
      },
    ])
  })

  test('reads lines without and with several optional fields, an empty source, and a target named -', () => {
    const [none, several] = parseMountinfo(
      '1 0 0:1 / / rw - rootfs  rw\n2 1 0:2 / /- rw shared:5 propagate_from:2 unbindable - tmpfs - rw\n',
    )
    expect(none).toMatchObject({ propagation: [], type: 'rootfs', source: '' })
    expect(several).toMatchObject({
      target: '/-',
      propagation: ['shared:5', 'propagate_from:2', 'unbindable'],
      source: '-',
    })
  })

  test('undoes the escapes of the kernel for any name', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: fc.constantFrom(' ', '\t', '\n', '\\', '#', '0', '4', 'ä', 'x'), minLength: 1 }),
        (name) => {
          const escaped = name.replace(
            /[ \t\n\\#]/g,
            (one) => `\\${one.charCodeAt(0).toString(8).padStart(3, '0')}`,
          )
          const [mount] = parseMountinfo(`1 0 0:1 / /${escaped} rw - tmpfs ${escaped} rw`)
          expect([mount?.target, mount?.source]).toEqual([`/${name}`, name])
        },
      ),
    )
  })

  test.each([
    'nonsense',
    '1 0 0:1 / / rw tmpfs none rw',
    'x 0 0:1 / / rw - tmpfs none rw',
    '1 0 7 / / rw - tmpfs none rw',
  ])('refuses %j and repeats it', (line) =>
    expect(() => parseMountinfo(line)).toThrow(`not a line of mountinfo: ${line}`),
  )
})

test('readMountinfo() sees what findmnt(8) sees', () => {
  const output = execFileSync(
    'findmnt',
    ['--kernel', '--json', '--list', '-o', 'ID,PARENT,TARGET,FSTYPE,FSROOT,SOURCE,VFS-OPTIONS,FS-OPTIONS'],
    {
      encoding: 'utf8',
    },
  )
  const { filesystems } = JSON.parse(output) as { filesystems: Record<string, string | number>[] }
  const ours = readMountinfo()
  expect(
    ours.map((one) => [
      one.id,
      one.parentId,
      one.target,
      one.type,
      one.root,
      one.options,
      one.superblockOptions,
    ]),
  ).toEqual(
    filesystems.map((one) => [
      one['id'],
      one['parent'],
      one['target'],
      one['fstype'],
      one['fsroot'],
      one['vfs-options'],
      one['fs-options'],
    ]),
  )
})

const mount = (id: number, parentId: number, target: string): MountInfo => ({
  id,
  parentId,
  target,
  device: { major: 0, minor: id },
  root: '/',
  options: 'rw',
  propagation: [],
  type: 'tmpfs',
  source: 'none',
  superblockOptions: 'rw',
})
const mounts = [
  mount(1, 0, '/'),
  mount(2, 1, '/var'),
  mount(3, 2, '/var/lib'),
  mount(4, 1, '/variable'),
  mount(5, 2, '/var'),
]

test('mountTree() puts each mount below its parent, and those without one at the top', () => {
  const [root, ...others] = mountTree([...mounts, mount(9, 77, '/chroot')])
  expect(root?.children.map(({ id }) => id)).toEqual([2, 4])
  expect(root?.children[0]?.children.map(({ id }) => id)).toEqual([3, 5])
  expect(others.map(({ id }) => id)).toEqual([9])
})

test('mountTree() takes a mount that is its own parent for a root', () => {
  expect(mountTree([mount(1, 1, '/')])).toMatchObject([{ id: 1, children: [] }])
})

test.each([
  ['/', 1],
  ['/etc/passwd', 1],
  ['/var', 5],
  ['/var/', 5],
  ['/var//log', 5],
  ['/var/lib/x', 3],
  ['/var/library', 5],
  ['/variable', 4],
  ['/vari', 1],
])('findMount() finds what %s lies on', (path, id) => {
  expect(findMount(mounts, path)?.id).toBe(id)
})

test('findMount() refuses a relative path', () => {
  expect(() => findMount(mounts, 'var')).toThrow(TypeError)
})

test('isMountPoint() is about the exact path', () => {
  expect(isMountPoint(mounts, '/var/lib')).toBe(true)
  expect(isMountPoint(mounts, '/var/lib/x')).toBe(false)
})

const order = (list: MountInfo[]): number[] => unmountOrder(list).map(({ id }) => id)

test('unmountOrder() gives the newest first, and a cover before what it covers', () => {
  expect(order(mounts)).toEqual([5, 4, 3, 2, 1])
})

test('unmountOrder() gives a mount that was moved onto a newer one before that', () => {
  // What mountinfo shows after tmpfs 2 was moved from /old to /new/sub, on the newer 3.
  expect(order([mount(1, 0, '/'), mount(2, 3, '/new/sub'), mount(3, 1, '/new')])).toEqual([2, 3, 1])
})

test('unmountOrder() gives each mount once, children before parents, for any tree and order', () => {
  const tree = fc.uniqueArray(fc.tuple(fc.nat(30), fc.nat(29)), { selector: ([id]) => id })
  fc.assert(
    fc.property(tree, (pairs) => {
      // A parent has a smaller number here; the order of the list is free, as after moves.
      const list = pairs.map(([id, below]) => mount(id, id === 0 ? 0 : below % id, `/${id}`))
      const ids = order(list)
      expect(ids.toSorted((a, b) => a - b)).toEqual(list.map(({ id }) => id).toSorted((a, b) => a - b))
      for (const { id, parentId } of list) {
        if (id !== parentId && ids.includes(parentId))
          expect(ids.indexOf(id)).toBeLessThan(ids.indexOf(parentId))
      }
    }),
  )
})
