import {
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { renderResolvConf, writeResolvConf } from '../src/resolv-conf.ts'

describe('renderResolvConf()', () => {
  test('writes servers, search domains and options', () => {
    const conf = {
      nameservers: ['10.0.2.3', 'fe80::1%eth0'],
      search: ['example.org', 'lab'],
      options: ['edns0'],
    }
    expect(renderResolvConf(conf)).toBe(
      'nameserver 10.0.2.3\nnameserver fe80::1%eth0\nsearch example.org lab\noptions edns0\n',
    )
  })

  test('puts the servers that glibc ignores in a comment', () => {
    const text = renderResolvConf({ nameservers: ['1.1.1.1', '2.2.2.2', '3.3.3.3', '4.4.4.4'] })
    expect(text.match(/^nameserver /gm)).toHaveLength(3)
    expect(text).toContain("# beyond glibc's three: nameserver 4.4.4.4\n")
  })

  test.each([
    [{ nameservers: ['1.1.1.1\nnameserver 6.6.6.6'] }],
    [{ nameservers: ['dns.example'] }],
    [{ nameservers: [], search: ['a b'] }],
    [{ nameservers: [], options: ['x\nnameserver 6.6.6.6'] }],
    [{ nameservers: [], search: [''] }],
  ])('refuses %j', (conf) => {
    expect(() => renderResolvConf(conf)).toThrow(TypeError)
  })
})

describe('writeResolvConf()', () => {
  let folder: string
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'solo-resolv-'))
  })
  afterEach(() => rmSync(folder, { recursive: true }))

  test('makes and replaces the file, readable for all, and leaves nothing beside it', () => {
    const path = join(folder, 'resolv.conf')
    writeResolvConf(path, { nameservers: ['1.1.1.1'] })
    const first = statSync(path)
    writeResolvConf(path, { nameservers: ['2.2.2.2'] })
    expect(readFileSync(path, 'utf8')).toBe('nameserver 2.2.2.2\n')
    expect(statSync(path).ino).not.toBe(first.ino)
    expect(statSync(path).mode & 0o777).toBe(0o644)
    expect(readdirSync(folder)).toEqual(['resolv.conf'])
  })

  test('follows a symbolic link, also one whose target is missing', () => {
    const path = join(folder, 'resolv.conf')
    symlinkSync('run.conf', path)
    writeResolvConf(path, { nameservers: ['1.1.1.1'] })
    expect(readlinkSync(path)).toBe('run.conf')
    expect(readFileSync(join(folder, 'run.conf'), 'utf8')).toBe('nameserver 1.1.1.1\n')
  })

  test('leaves the old file when it cannot write a new one', () => {
    const path = join(folder, 'none', 'resolv.conf')
    expect(() => writeResolvConf(path, { nameservers: ['1.1.1.1'] })).toThrow('ENOENT')
    writeFileSync(join(folder, 'resolv.conf'), 'old')
    expect(() => writeResolvConf(join(folder, 'resolv.conf'), { nameservers: ['x'] })).toThrow(TypeError)
    expect(readFileSync(join(folder, 'resolv.conf'), 'utf8')).toBe('old')
  })
})
