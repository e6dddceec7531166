import { execFileSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { ensureBootEntries } from '../src/firmware/boot-entries.ts'
import { slotsOfLoader } from '../src/firmware/entries.ts'
import { freshEntryName, parseEntryName } from '../src/firmware/entry-name.ts'
import {
  GLOBAL_VENDOR,
  LOADER_VENDOR,
  readVariable,
  readVariableText,
  writeVariable,
} from '../src/firmware/variables.ts'

const partition = {
  number: 1,
  firstLba: 2048,
  sizeBlocks: 196_608,
  guid: '01234567-89ab-cdef-0123-456789abcdef',
}

/** A folder that looks like efivarfs. */
function variablesFolder(): { path: string } & Disposable {
  const path = mkdtempSync(join(tmpdir(), 'solo-efivars-'))
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true }) }
}

/** What efibootmgr(8) says of the variables in a folder. */
function efibootmgr(folder: string): string {
  const env = { PATH: process.env['PATH'], EFIVARFS_PATH: `${folder}/` }
  return execFileSync('efibootmgr', ['-v'], { env, encoding: 'utf8' })
}

test('ensureBootEntries() writes four entries for the loader that efibootmgr reads, and tries them first', () => {
  using folder = variablesFolder()
  writeVariable('Boot0001', GLOBAL_VENDOR, new Uint8Array(30), folder.path)
  writeVariable('BootOrder', GLOBAL_VENDOR, Uint8Array.of(1, 0), folder.path)
  expect(ensureBootEntries(partition, folder.path)).toBe('first Boot0000 Boot0002 Boot0003 Boot0004')
  const said = efibootmgr(folder.path)
  expect(said).toContain('BootOrder: 0000,0002,0003,0004,0001')
  const entry = 'HD(1,GPT,01234567-89ab-cdef-0123-456789abcdef,0x800,0x30000)/File(\\EFI\\BOOT\\BOOT'
  expect(said.split('\n').filter((line) => line.includes('Solo ') && line.includes(entry))).toHaveLength(4)
})

test('ensureBootEntries() writes nothing when all is as it should be', () => {
  using folder = variablesFolder()
  ensureBootEntries(partition, folder.path)
  const state = (): unknown =>
    readdirSync(folder.path).map((name) => {
      const path = join(folder.path, name)
      return [name, statSync(path, { bigint: true }).mtimeNs, readFileSync(path, 'hex')]
    })
  const before = state()
  expect(ensureBootEntries(partition, folder.path)).toBe('as they should be')
  expect(state()).toEqual(before)
})

test('ensureBootEntries() knows its entries again in what firmware has made of them, and those of another disk not', () => {
  using folder = variablesFolder()
  ensureBootEntries(partition, folder.path)
  for (let boot = 0; boot < 3; boot += 1) {
    for (const name of ['Boot0000', 'Boot0001', 'Boot0002', 'Boot0003']) {
      const value = Buffer.from(readVariable(name, GLOBAL_VENDOR, folder.path) ?? [])
      const title = 6 + 2 * ('Solo 1'.length + 1)
      // The way to the disk before its partition (PCI root), another attribute, and two bytes at the end.
      const root = Buffer.from('02010c00d041030a00000000', 'hex')
      value.writeUInt32LE(0x101, 0)
      value.writeUInt16LE(value.readUInt16LE(4) + root.length, 4)
      const rewritten = Buffer.concat([
        value.subarray(0, title),
        root,
        value.subarray(title),
        Buffer.alloc(2),
      ])
      writeVariable(name, GLOBAL_VENDOR, rewritten, folder.path)
    }
    expect(ensureBootEntries(partition, folder.path)).toBe('as they should be')
  }
  const other = { ...partition, guid: partition.guid.replace('0', 'f') }
  expect(ensureBootEntries(other, folder.path)).toBe('first Boot0004 Boot0005 Boot0006 Boot0007')
  // Damaged ones are nobody's.
  rmSync(join(folder.path, `Boot0004-${GLOBAL_VENDOR}`))
  writeVariable('Boot0004', GLOBAL_VENDOR, Uint8Array.of(1, 0, 0, 0, 255, 255, 83), folder.path)
  expect(ensureBootEntries(other, folder.path)).toContain('Boot0008')
})

test('ensureBootEntries() puts its entries back in front, and leaves those of others after them', () => {
  using folder = variablesFolder()
  ensureBootEntries(partition, folder.path)
  writeVariable('BootOrder', GLOBAL_VENDOR, Uint8Array.of(7, 0, 3, 0, 2, 0, 1, 0, 0, 0), folder.path)
  ensureBootEntries(partition, folder.path)
  expect(efibootmgr(folder.path)).toContain('BootOrder: 0000,0001,0002,0003,0007')
})

test('readVariable() is null for what is not there, and for a machine without UEFI', () => {
  using folder = variablesFolder()
  expect(readVariable('BootOrder', GLOBAL_VENDOR, folder.path)).toBeNull()
  expect(readVariable('BootOrder', GLOBAL_VENDOR, join(folder.path, 'nowhere'))).toBeNull()
})

test('readVariableText() ends at the NUL', () => {
  using folder = variablesFolder()
  const text = Buffer.from('4a67b082\0rest', 'utf16le')
  writeFileSync(
    join(folder.path, `LoaderDevicePartUUID-${LOADER_VENDOR}`),
    Buffer.concat([Buffer.alloc(4), text]),
  )
  expect(readVariableText('LoaderDevicePartUUID', LOADER_VENDOR, folder.path)).toBe('4a67b082')
})

test('slotsOfLoader() reads the list of the loader, which has other entries too', () => {
  using folder = variablesFolder()
  expect(slotsOfLoader(folder.path)).toBeNull()
  // As systemd-boot 252 writes it; later ones leave the counter out.
  const list = 'soloa+3-0.efi\0solob.efi\0auto-reboot-to-firmware-setup\0'
  writeFileSync(
    join(folder.path, `LoaderEntries-${LOADER_VENDOR}`),
    Buffer.concat([Buffer.alloc(4), Buffer.from(list, 'utf16le')]),
  )
  expect(slotsOfLoader(folder.path)).toEqual(new Set(['solo-a', 'solo-b']))
  // A hint that cannot be read is none.
  rmSync(join(folder.path, `LoaderEntries-${LOADER_VENDOR}`))
  symlinkSync('/proc/self/mem', join(folder.path, `LoaderEntries-${LOADER_VENDOR}`))
  expect(slotsOfLoader(folder.path)).toBeNull()
})

test.each([
  ['soloa+3-0.efi', { slot: 'solo-a', left: 3, done: 0 }],
  ['soloa+2.efi', { slot: 'solo-a', left: 2, done: 0 }],
  ['solob+0-3.EFI', { slot: 'solo-b', left: 0, done: 3 }],
  ['solo.efi', { slot: 'solo', left: null, done: 0 }],
  ['solo+1.conf', null],
  ['.efi', null],
])('parseEntryName(%j) is %j', (file, expected) => {
  expect(parseEntryName(file)).toEqual(expected)
})

test('freshEntryName() is what parseEntryName() takes apart', () => {
  expect(parseEntryName(freshEntryName('solo-a'))).toEqual({ slot: 'solo-a', left: 3, done: 0 })
})
