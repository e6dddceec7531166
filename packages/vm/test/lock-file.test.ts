// solo.lock and the paragraphs of the archive.
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { readLockFile } from '../src/apt/lock-file.ts'
import { parseDependencies, parseRecords } from '../src/apt/stanza.ts'
import { kernelPackage } from '../src/kernel.ts'
import { hostSystem } from '../src/host/system.ts'
import { testFolder } from './support/folder.ts'

const record = {
  name: 'linux-image-6.1.0-9-amd64',
  version: '6.1.9-1',
  architecture: 'amd64',
  sizeBytes: 5,
  sha256: 'a'.repeat(64),
  dependencies: [],
}

describe('LockFile', () => {
  test('LockFile.save() writes suites and roles in order, and only when something was set', async () => {
    using folder = testFolder()
    const path = join(folder.path, 'solo.lock')
    const lock = await readLockFile(path)
    await lock.save()
    expect(() => readFileSync(path)).toThrow('ENOENT')
    lock.set('trixie/amd64', 'kernel', 'linux-image-amd64', [record])
    lock.set('bookworm/amd64', 'kernel', 'linux-image-amd64', [record])
    lock.set('bookworm/amd64', 'glibc', 'libc6', [record])
    await lock.save()
    const text = readFileSync(path, 'utf8')
    expect([...text.matchAll(/"([a-z]+\/[a-z0-9]+|kernel|glibc)": \{/g)].map((match) => match[1])).toEqual([
      'bookworm/amd64',
      'glibc',
      'kernel',
      'trixie/amd64',
      'kernel',
    ])
    const again = await readLockFile(path)
    expect(again.get('trixie/amd64', 'kernel', 'linux-image-amd64')?.packages[0]?.sha256).toBe(record.sha256)
    expect(again.get('trixie/amd64', 'kernel', 'linux-image-rt-amd64')).toBeUndefined()
    expect(again.get('sid/amd64', 'kernel', 'linux-image-amd64')).toBeUndefined()
  })

  test.each([
    ['{', /solo\.lock: expected JSON: .*; remove the file, then a new one is written$/],
    ['[]', /solo\.lock: expected an object with version 1 and suites;/],
    ['{"version": 2, "suites": {}}', /solo\.lock: expected an object with version 1 and suites;/],
    ['{"version": 1, "suites": {"x/amd64": 1}}', /solo\.lock: suites\["x\/amd64"\]: expected an object;/],
    [
      '{"version": 1, "suites": {"x/amd64": {"kernel": {"request": "a", "packages": [{"name": "a"}]}}}}',
      /solo\.lock: suites\["x\/amd64"\]\.kernel: expected request and packages with name, version, sizeBytes and sha256;/,
    ],
  ])('readLockFile() refuses %s', async (text, message) => {
    using folder = testFolder()
    const path = join(folder.path, 'solo.lock')
    writeFileSync(path, text)
    await expect(readLockFile(path)).rejects.toThrow(message)
    await expect(readLockFile(path)).rejects.toMatchObject({ exitStatus: 2 })
  })
})

describe('parseRecords()', () => {
  test('parseRecords() reads what apt-cache show prints, and leaves out virtual packages', () => {
    const text = `Package: linux-image-cloud-amd64
Source: linux-signed-amd64 (6.1.9+1)
Version: 6.1.9-1
Architecture: amd64
Depends: linux-image-6.1.0-9-cloud-amd64 (= 6.1.9-1),
 other
Description: Linux for x86-64 cloud (meta-package)
 This package depends on the latest Linux kernel: and more.
Filename: pool/x.deb
Size: 1504
SHA256: ${'b'.repeat(64)}

Package: virtual
Version: 1
`
    expect(parseRecords(text)).toEqual([
      {
        name: 'linux-image-cloud-amd64',
        version: '6.1.9-1',
        architecture: 'amd64',
        sizeBytes: 1504,
        sha256: 'b'.repeat(64),
        dependencies: [
          [{ name: 'linux-image-6.1.0-9-cloud-amd64', version: '6.1.9-1' }],
          [{ name: 'other' }],
        ],
      },
    ])
  })

  test('parseDependencies() reads alternatives, architectures and versions', () => {
    expect(parseDependencies('a (>= 4.3~), b:any | c (= 2:1.0-1) , d [amd64]')).toEqual([
      [{ name: 'a' }],
      [{ name: 'b' }, { name: 'c', version: '2:1.0-1' }],
      [{ name: 'd' }],
    ])
    expect(parseDependencies('')).toEqual([])
  })
})

describe('the host', () => {
  test.each([
    ['ID=debian\nVERSION_CODENAME=bookworm\n', { family: 'debian', suite: 'bookworm' }],
    [
      'ID=ubuntu\nID_LIKE=debian\nVERSION_CODENAME=noble\nUBUNTU_CODENAME=noble\n',
      { family: 'ubuntu', suite: 'noble' },
    ],
    [
      'ID=linuxmint\nID_LIKE="ubuntu debian"\nVERSION_CODENAME=wilma\nUBUNTU_CODENAME=noble\n',
      { family: 'ubuntu', suite: 'noble' },
    ],
    ["ID='fedora'\nVERSION_ID=42\n", { family: 'fedora', suite: 'unknown' }],
  ])('hostSystem() reads %j', async (text, expected) => {
    expect(await hostSystem(text)).toEqual(expected)
  })

  test('kernelPackage() knows the names of Debian and Ubuntu', () => {
    expect(kernelPackage('debian', 'cloud', 'x86_64')).toBe('linux-image-cloud-amd64')
    expect(kernelPackage('debian', 'generic', 'aarch64')).toBe('linux-image-arm64')
    expect(kernelPackage('ubuntu', 'cloud', 'x86_64')).toBe('linux-image-virtual')
    expect(kernelPackage('ubuntu', 'generic', 'aarch64')).toBe('linux-image-generic')
  })
})
