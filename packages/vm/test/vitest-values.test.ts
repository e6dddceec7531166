import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, onTestFinished, test } from 'vitest'
import { decodeValue, encodeValue } from '../src/vitest/clone.ts'
import { diskEnvironment } from '../src/vitest/guest-setup.ts'
import { hostCalls } from '../src/vitest/host-calls.ts'

describe('encodeValue(), decodeValue()', () => {
  const copy = (value: unknown): unknown => decodeValue(encodeValue(value))

  test('carry whatever fast-check makes up', () => {
    const anything = fc.anything({
      withBigInt: true,
      withBoxedValues: true,
      withDate: true,
      withMap: true,
      withSet: true,
      withTypedArray: true,
    })
    fc.assert(
      fc.property(anything, (value) => {
        expect(copy(value)).toEqual(value)
      }),
    )
  })

  test('keep cycles and shared references', () => {
    const file: { tasks: object[]; file?: object } = { tasks: [] }
    file.file = file
    file.tasks.push({ file }, { file })
    const copied = copy(file) as { tasks: { file: object }[]; file: object }
    expect(copied.file).toBe(copied)
    expect(copied.tasks[1]?.file).toBe(copied)
  })

  test('keep errors with their cause and fields', () => {
    const error = Object.assign(new TypeError('outer', { cause: new RangeError('inner') }), { code: 'E' })
    const copied = copy(error) as TypeError & { code: string; cause: Error }
    expect(copied).toBeInstanceOf(Error)
    expect([copied.name, copied.message, copied.code, copied.stack]).toEqual([
      'TypeError',
      'outer',
      'E',
      error.stack,
    ])
    expect(copied.cause.message).toBe('inner')
    expect(Object.keys(copied)).toEqual(['code'])
  })

  test('do not let a key change the prototype', () => {
    const copied = copy(JSON.parse('{"__proto__": {"polluted": true}}')) as { polluted?: boolean }
    expect(copied.polluted).toBeUndefined()
    expect(Object.keys(copied)).toEqual(['__proto__'])
  })

  test('are not stopped by depth', () => {
    let deep: unknown = 'bottom'
    for (let depth = 0; depth < 100_000; depth++) deep = [deep]
    let copied = copy(deep)
    while (Array.isArray(copied)) copied = copied[0]
    expect(copied).toBe('bottom')
  })

  test.each([
    ['Promise', Promise.resolve()],
    ['WeakMap', new WeakMap()],
    ['URL', new URL('https://example.org')],
    ['Blob', new Blob(['x'])],
    ['SharedArrayBuffer', new SharedArrayBuffer(1)],
    ['Generator', (function* () {})()],
  ])('refuse a %s, and do not make an empty object of it', (name, value) => {
    expect(() => encodeValue({ inner: [value] })).toThrow(
      new TypeError(`a ${name} cannot be sent to or from a guest`),
    )
  })

  test('make plain objects of arguments and of instances', () => {
    class Point {
      x = 1
    }
    const given = (function (_first: number) {
      // oxlint-disable-next-line prefer-rest-params -- it is about them
      return arguments
    })(7)
    expect(copy([new Point(), given])).toEqual([{ x: 1 }, { 0: 7 }])
  })

  test('refuse functions', () => {
    expect(() => encodeValue({ run() {} })).toThrow(TypeError)
  })
})

describe('hostCalls()', () => {
  function project(): string {
    const root = mkdtempSync(join(tmpdir(), 'solo-calls-'))
    onTestFinished(() => rmSync(root, { recursive: true }))
    for (const name of ['own', 'other', 'coverage']) mkdirSync(join(root, name))
    return root
  }

  test('change what is below the folders', async () => {
    const root = project()
    const calls = hostCalls([join(root, 'own'), join(root, 'coverage')])
    for (const name of ['own/a/b.snap', 'coverage/.tmp/1.json', 'own/../own/..c']) {
      const path = join(root, name)
      await calls.writeText(path, name)
      expect(await calls.readText(path)).toBe(name)
      await calls.remove(path)
      expect(await calls.readText(path)).toBeNull()
    }
    await expect(calls.remove(join(root, 'own/none'))).resolves.toBeUndefined()
  })

  test('refuse what is elsewhere, by dots, by symlinks, or run by others', async () => {
    const root = project()
    writeFileSync(join(root, 'other/file'), 'as it was')
    symlinkSync(join(root, 'other'), join(root, 'own/link'))
    symlinkSync(join(root, 'other/new'), join(root, 'own/nowhere'))
    const calls = hostCalls([join(root, 'own')])
    const paths = [
      `${root}/other/file`,
      `${root}/own/../other/file`,
      `${root}/own/link/file`,
      `${root}/own/nowhere`,
      `${root}/own`,
      `${root}/owner/file`,
      `${root}/own/node_modules/p/index.js`,
      `${root}/own/.git/hooks/pre-commit`,
      'relative',
      '/',
    ]
    for (const path of paths) {
      await expect(calls.writeText(path, 'x'), path).rejects.toThrow(/a guest may change files below|nowhere/)
      await expect(calls.remove(path), path).rejects.toThrow(/a guest may change files below|nowhere/)
    }
    expect(await calls.readText(join(root, 'other/file'))).toBe('as it was')
    await expect(hostCalls([]).writeText(join(root, 'x'), '')).rejects.toThrow('a guest may change files')
  })
})

test('diskEnvironment() names each disk as the command does', async () => {
  const device = async (name: string): Promise<string> => `/dev/${name}`
  const disks = [{ sizeBytes: 1 }, { name: 'my-data', sizeBytes: 1 }]
  expect(await diskEnvironment({ device }, disks)).toEqual({
    SOLO_DISK0: '/dev/disk0',
    SOLO_MY_DATA: '/dev/my-data',
  })
})
