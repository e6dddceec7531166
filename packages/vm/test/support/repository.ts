// A package archive on disk that the host's real apt reads: packages made by dpkg-deb, indexes written here.
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import { writeStaticElf } from '@pkg/image/elf'

/** One package to be made. */
export interface TestPackage {
  readonly name: string
  readonly version: string
  readonly architecture?: string
  readonly depends?: string
  /** Files by path. */
  readonly files?: Readonly<Record<string, Uint8Array | string>>
}

/** The archive. */
export interface Repository {
  readonly folder: string
  /** A sources file for apt. */
  readonly sources: string
  /** Makes a package and puts it in. */
  publish(...packages: readonly TestPackage[]): void
  /** Takes a package out, as a mirror does when a newer one is there. */
  remove(name: string, version: string): void
}

export function makeRepository(folder: string): Repository {
  mkdirSync(join(folder, 'pool'), { recursive: true })
  const sources = join(folder, 'test.list')
  writeFileSync(sources, `deb [trusted=yes] file:${folder} ./\n`)
  writeIndex(folder)
  return {
    folder,
    sources,
    publish(...packages) {
      for (const each of packages) makeDeb(each, join(folder, 'pool'))
      writeIndex(folder)
    },
    remove(name, version) {
      for (const file of readdirSync(join(folder, 'pool'))) {
        if (file.startsWith(`${name}_${version}_`)) rmSync(join(folder, 'pool', file))
      }
      writeIndex(folder)
    },
  }
}

/** Makes a .deb and returns its path. */
export function makeDeb(each: TestPackage, into: string): string {
  const { name, version, architecture = 'amd64', depends, files = {} } = each
  const staging = join(into, `.staging-${name}`)
  const control = [
    `Package: ${name}`,
    `Version: ${version}`,
    `Architecture: ${architecture}`,
    'Maintainer: Test <test@example.org>',
    ...(depends === undefined ? [] : [`Depends: ${depends}`]),
    'Description: made by a test',
    '',
  ].join('\n')
  write(join(staging, 'DEBIAN/control'), control)
  for (const [path, content] of Object.entries(files)) write(join(staging, path), content)
  const deb = join(into, `${name}_${version}_${architecture}.deb`)
  execFileSync('dpkg-deb', ['--root-owner-group', '-Zgzip', '-z1', '--build', staging, deb], {
    stdio: 'ignore',
  })
  rmSync(staging, { recursive: true })
  return deb
}

/** @see https://wiki.debian.org/DebianRepository/Format (a flat repository) */
function writeIndex(folder: string): void {
  const paragraphs = readdirSync(join(folder, 'pool'))
    .filter((name) => name.endsWith('.deb'))
    .toSorted()
    .map((name) => {
      const path = join(folder, 'pool', name)
      const bytes = readFileSync(path)
      const control = execFileSync('dpkg-deb', ['--field', path], { encoding: 'utf8' }).trimEnd()
      return `${control}\nFilename: ./pool/${name}\nSize: ${bytes.length}\nSHA256: ${hash(bytes)}\n`
    })
  const index = paragraphs.join('\n')
  writeFileSync(join(folder, 'Packages'), index)
  writeFileSync(
    join(folder, 'Release'),
    `Origin: Test\nSuite: test\nDate: ${new Date().toUTCString()}\nSHA256:\n ${hash(Buffer.from(index))} ${index.length} Packages\n`,
  )
}

/** An object file with a .modinfo section, which is all that depmod looks at. */
export function kernelModule(fields: readonly string[]): Uint8Array {
  const modinfo = Buffer.from(fields.map((field) => `${field}\0`).join(''))
  const names = Buffer.from('\0.modinfo\0.shstrtab\0')
  const bytes = Buffer.alloc(64 + modinfo.length + names.length + 3 * 64)
  // Elf64_Ehdr of a relocatable x86-64 file, elf(5)
  Buffer.from([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]).copy(bytes)
  bytes.writeUInt16LE(1, 16)
  bytes.writeUInt16LE(62, 18)
  bytes.writeUInt32LE(1, 20)
  const table = 64 + modinfo.length + names.length
  bytes.writeBigUInt64LE(BigInt(table), 40)
  bytes.writeUInt16LE(64, 52)
  bytes.writeUInt16LE(64, 58)
  bytes.writeUInt16LE(3, 60)
  bytes.writeUInt16LE(2, 62)
  modinfo.copy(bytes, 64)
  names.copy(bytes, 64 + modinfo.length)
  const section = (index: number, name: number, type: number, offset: number, size: number): void => {
    const at = table + index * 64
    bytes.writeUInt32LE(name, at)
    bytes.writeUInt32LE(type, at + 4)
    bytes.writeBigUInt64LE(BigInt(offset), at + 24)
    bytes.writeBigUInt64LE(BigInt(size), at + 32)
  }
  section(1, 1, 1, 64, modinfo.length)
  section(2, 10, 3, 64 + modinfo.length, names.length)
  return bytes
}

/** Compresses a module as a distribution does. */
export function compressed(bytes: Uint8Array, format: 'xz' | 'zst' | 'gz'): Uint8Array {
  if (format === 'zst') return zstdCompressSync(bytes)
  if (format === 'gz') return gzipSync(bytes)
  return execFileSync('xz', ['--check=crc32', '--stdout'], { input: bytes })
}

/** A program that needs nothing: `exit(0)`. */
export function tinyProgram(): Uint8Array {
  // mov eax, 60; xor edi, edi; syscall
  const code = new Uint8Array([0xb8, 60, 0, 0, 0, 0x31, 0xff, 0x0f, 0x05])
  const address = 0x40_00b0
  return writeStaticElf({
    machine: 'x86_64',
    entryAddress: address,
    segments: [{ address, bytes: code, flags: 'rx' }],
  })
}

function write(path: string, content: Uint8Array | string): void {
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, content)
}

function hash(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}
