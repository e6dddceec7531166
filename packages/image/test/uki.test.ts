import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { FileSource } from '../src/file-source.ts'
import { fileAccess } from '../src/file-access.ts'
import { bytesAccess } from '../src/random-access.ts'
import { UkiError, checkUki, prepareUki, readUki, readUkiText } from '../src/uki.ts'
import type { PeMachine as Machine, UkiOptions } from '../src/uki.ts'
import { collect, runOk } from './run.ts'
import { stub } from './stubs.ts'

// Some tests start many programs; other tests may have all processors.
const slow = { timeout: 240_000 }
const text = (content: string): Uint8Array => new TextEncoder().encode(content)

/** Bytes that are not all alike. */
function noise(sizeBytes: number): Uint8Array {
  return Uint8Array.from({ length: sizeBytes }, (_, index) => (index * 31 + (index >> 8) + sizeBytes) & 0xff)
}

const stubs: Record<Machine, Uint8Array> = { 'x86-64': new Uint8Array(), aarch64: new Uint8Array() }
let folder = ''

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'solo-uki-'))
  stubs['x86-64'] = await stub('x86-64')
  stubs.aarch64 = await stub('aarch64')
}, 240_000)
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const machines: Machine[] = ['x86-64', 'aarch64']

/** What begins as a kernel does: the stub is an EFI program too. */
function kernel(machine: Machine, extraBytes: number): Uint8Array {
  return new Uint8Array(Buffer.concat([stubs[machine], noise(extraBytes)]))
}

function options(machine: Machine, changes: Partial<UkiOptions> = {}): UkiOptions {
  return {
    stub: stubs[machine],
    linux: kernel(machine, 3_000_001),
    initrd: noise(1_400_003),
    cmdline: 'console=ttyS0 panic=10 gpt',
    osRelease: 'ID=solo\nPRETTY_NAME="Solo ü"\nIMAGE_VERSION=7\n',
    uname: '6.1.0-56-cloud-amd64',
    ...changes,
  }
}

async function written(given: UkiOptions): Promise<Uint8Array> {
  const image = await prepareUki(given)
  const bytes = await collect(image.open())
  expect(bytes.byteLength).toBe(image.sizeBytes)
  return bytes
}

/** A tool of binutils that reads PE files of the processor. */
function binutils(machine: Machine, name: string): string {
  return machine === 'x86-64' ? name : `aarch64-linux-gnu-${name}`
}

interface Header {
  readonly name: string
  readonly size: number
  readonly address: number
  readonly offset: number
}

/** The sections that `objdump -h` sees. */
function objdump(machine: Machine, path: string): Header[] {
  const said = runOk([binutils(machine, 'objdump'), '-h', path])
  return [...said.matchAll(/^ +\d+ (\S+) +(\w+) +(\w+) +\w+ +(\w+) /gm)].map(
    ([, name = '', size = '', address = '', offset = '']) => ({
      name,
      size: Number.parseInt(size, 16),
      address: Number.parseInt(address, 16),
      offset: Number.parseInt(offset, 16),
    }),
  )
}

describe.each(machines)('prepareUki() for %s', (machine) => {
  test('adds sections that objdump sees, one after another, from multiples of 4 KiB on', slow, async () => {
    const path = join(folder, 'image.efi')
    const bytes = await written(options(machine, { dtb: noise(5000) }))
    writeFileSync(path, bytes)
    const before = objdump(machine, stubPath(machine))
    const after = objdump(machine, path)
    const added = after.slice(before.length)
    // BFD takes the size in the file where that is smaller than the one in memory, and the stub's last has grown there.
    expect(after.slice(0, before.length).map(({ name, address }) => [name, address])).toEqual(
      before.map(({ name, address }) => [name, address]),
    )
    expect(added.map(({ name }) => name)).toEqual([
      '.linux',
      '.dtb',
      '.uname',
      '.initrd',
      '.cmdline',
      '.osrel',
    ])
    for (const { offset, address } of added) expect([offset % 4096, address % 4096]).toEqual([0, 0])
    const inMemory = after.toSorted((left, right) => left.address - right.address)
    for (const [index, section] of inMemory.entries()) {
      const next = inMemory[index + 1]
      if (next) expect(section.address + section.size).toBeLessThanOrEqual(next.address)
    }
    expect(runOk(['file', path])).toMatch(/PE32\+ executable \(EFI application\) (x86-64|Aarch64)/)
  })

  test('keeps every content, as objcopy reads it', slow, async () => {
    const path = join(folder, 'image.efi')
    const given = options(machine)
    writeFileSync(path, await written(given))
    const contents = {
      '.linux': given.linux,
      '.initrd': given.initrd,
      '.cmdline': text(given.cmdline ?? ''),
      '.osrel': text(given.osRelease),
      '.uname': text(given.uname ?? ''),
    }
    for (const [name, content] of Object.entries(contents)) {
      const out = join(folder, 'section')
      const objcopy = binutils(machine, 'objcopy')
      runOk([objcopy, '-O', 'binary', `--only-section=${name}`, path, out])
      const found = readFileSync(out)
      // Some versions give the padding in the file too.
      expect(
        Buffer.compare(found.subarray(0, (content as Uint8Array).byteLength), content as Uint8Array),
        name,
      ).toBe(0)
      expect(found.subarray((content as Uint8Array).byteLength).every((byte) => byte === 0)).toBe(true)
    }
  })

  test('has headers that pefile has nothing against, with the checksum right', slow, async () => {
    const path = join(folder, 'image.efi')
    writeFileSync(path, await written(options(machine)))
    const script = `
import pefile, sys
pe = pefile.PE(sys.argv[1], fast_load=True)
print(pe.get_warnings(), pe.verify_checksum(), pe.OPTIONAL_HEADER.CheckSum != 0)
h = pe.OPTIONAL_HEADER
last = pe.sections[-1]
align = lambda x, a: (x + a - 1) // a * a
print(h.SizeOfImage == align(last.VirtualAddress + last.Misc_VirtualSize, h.SectionAlignment))
print(pe.FILE_HEADER.PointerToSymbolTable, pe.FILE_HEADER.NumberOfSymbols)
print(all(s.PointerToRawData + s.SizeOfRawData == n.PointerToRawData for s, n in zip(pe.sections, pe.sections[1:])))
print(pe.get_overlay())
`
    expect(runOk(['python3', '-c', script, path]).split('\n').slice(0, 5)).toEqual([
      '[] True True',
      'True',
      '0 0',
      'True',
      'None',
    ])
  })

  test('is read back by readUki() and checkUki()', async () => {
    const given = options(machine)
    const access = bytesAccess(await written(given))
    const uki = await checkUki(access)
    expect(uki).toMatchObject({ machine, sizeBytes: access.sizeBytes, hasChecksum: true })
    expect(await readUki(access)).toEqual(uki)
    expect(await readUkiText(access, uki, '.cmdline')).toBe(given.cmdline)
    expect(await readUkiText(access, uki, '.osrel')).toBe(given.osRelease)
    expect(await readUkiText(access, uki, '.splash')).toBeUndefined()
    const { sections } = await prepareUki(given)
    expect(uki.sections.slice(-sections.length)).toEqual(sections)
    const linux = sections.find(({ name }) => name === '.linux')
    const kernelBytes = await access.read(linux?.offset ?? 0, linux?.sizeBytes ?? 0)
    expect(Buffer.compare(kernelBytes, given.linux as Uint8Array)).toBe(0)
  })

  test('leaves every block but the first and the last ones as they were when version and root hash change', async () => {
    const before = await written(options(machine, { initrd: noise(1_400_003) }))
    const initrd = noise(1_400_003)
    initrd.set(text('another root hash'), 1_400_003 - 500)
    const after = await written(options(machine, { initrd, osRelease: 'ID=solo\nIMAGE_VERSION=8\n' }))
    const blocks = (bytes: Uint8Array): string[] =>
      Array.from({ length: bytes.byteLength / 4096 }, (_, index) =>
        Buffer.from(bytes.subarray(index * 4096, (index + 1) * 4096)).toString('latin1'),
      )
    const known = new Set(blocks(before))
    const fresh = blocks(after).flatMap((block, index) => (known.has(block) ? [] : [index]))
    const last = after.byteLength / 4096 - 1
    // The headers, the end of the initramfs, and os-release; the command line in between is the same.
    expect(fresh).toEqual([0, last - 2, last])
  })

  test('writes the same bytes from streams as from memory, and tells its progress', async () => {
    const given = options(machine)
    const source = (bytes: Uint8Array): FileSource => ({
      sizeBytes: bytes.byteLength,
      async *open() {
        for (let start = 0; start < bytes.byteLength; start += 99_999)
          yield bytes.subarray(start, start + 99_999)
      },
    })
    const streamed = {
      ...given,
      stub: source(stubs[machine]),
      linux: source(given.linux as Uint8Array),
      initrd: source(given.initrd as Uint8Array),
    }
    const read: number[] = []
    const image = await prepareUki({ ...streamed, onProgress: (doneBytes) => read.push(doneBytes) })
    const taken: number[] = []
    const bytes = await collect(image.open({ onProgress: (doneBytes) => taken.push(doneBytes) }))
    expect(Buffer.compare(bytes, await written(given))).toBe(0)
    for (const steps of [read, taken]) {
      expect(steps.at(-1)).toBe(image.sizeBytes)
      expect(steps.length).toBeGreaterThan(10)
      expect(steps).toEqual(steps.toSorted((left, right) => left - right))
    }
  })
})

/** The stub as a file. */
function stubPath(machine: Machine): string {
  const path = join(folder, `${machine}.stub`)
  writeFileSync(path, stubs[machine])
  return path
}

describe('prepareUki()', () => {
  test('adds SBAT lines to the stub’s own where there is room, else in a section of its own', async () => {
    const line = 'solo,1,S,s,1,u'
    const own = await written(options('x86-64', { sbat: line }))
    const access = bytesAccess(own)
    const uki = await checkUki(access)
    expect(uki.sbat.map(({ component, generation }) => `${component} ${generation}`)).toEqual([
      'sbat 1',
      'systemd 1',
      'systemd.debian 1',
      'solo 1',
    ])
    expect(uki.sections.filter(({ name }) => name === '.sbat')).toHaveLength(1)
    const long = `${line},${'x'.repeat(300)}`
    await expect(prepareUki(options('x86-64', { sbat: long }))).rejects.toThrow(
      /stub: its .sbat has room for 256 bytes/,
    )
    await expect(prepareUki(options('x86-64', { sbat: 'solo' }))).rejects.toThrow(
      'expected COMPONENT,GENERATION',
    )
    const arm = bytesAccess(await written(options('aarch64', { sbat: long })))
    expect((await checkUki(arm)).sbat.map(({ component }) => component)).toEqual(['sbat', 'solo'])
  })

  test('says that the kernel is not for NX where its header does not', async () => {
    const nx = stubs.aarch64.slice()
    nx[0x40 + 24 + 70 + 1] = 1
    const flag = async (linux: Uint8Array): Promise<number> => {
      const bytes = await written(options('aarch64', { stub: nx, linux }))
      return (bytes[0x40 + 24 + 70 + 1] ?? 0) & 1
    }
    expect(await flag(nx)).toBe(1)
    expect(await flag(stubs.aarch64)).toBe(0)
  })

  test('refuses stubs and kernels that cannot be', async () => {
    const refused = async (changes: Partial<UkiOptions>, message: string): Promise<void> => {
      await expect(prepareUki(options('x86-64', changes))).rejects.toThrow(message)
    }
    await refused({ stub: stubs.aarch64 }, 'linux: a kernel for x86-64, the stub is for aarch64')
    await refused({ stub: new Uint8Array(10_000) }, 'stub: 10000 bytes without a header')
    await refused({ stub: stubs['x86-64'].subarray(0, 50_000) }, 'stub: it has 50000 bytes of the')
    await refused({ stub: noise(17 * 1024 * 1024) }, 'stub: it has 17825792 bytes')
    await refused({ linux: noise(10_000) }, 'linux: it does not begin with MZ')
    await refused({ linux: text('MZ') }, 'linux: 2 bytes end within its DOS header')
    await refused({ stub: await written(options('x86-64')) }, 'stub: it has a section .linux already')
    await refused({ cmdline: 'a\nb' }, 'cmdline is "a\\nb"')
    await refused({ osRelease: '' }, 'osRelease is ""')
    await refused({ uname: '6.1 x' }, 'uname is "6.1 x"')
    const signed = stubs['x86-64'].slice()
    new DataView(signed.buffer).setUint32(0x80 + 24 + 112 + 4 * 8 + 4, 8, true)
    await refused({ stub: signed }, 'stub: it is signed')
    const huge: FileSource = { sizeBytes: 2 ** 32, open: () => collectNothing() }
    await refused({ initrd: huge }, 'PE files have less than 4 GiB')
  })

  test('says how many sections the headers have room for', async () => {
    const full = stubs['x86-64'].slice()
    // The first byte of a header that is not free.
    full[0x80 + 24 + 240 + 8 * 40 + 3 * 40] = 1
    await expect(prepareUki(options('x86-64', { stub: full }))).rejects.toThrow(RangeError)
    await expect(prepareUki(options('x86-64', { stub: full }))).rejects.toThrow(
      'stub: its headers have room for 0 more sections, 5 are needed (.linux .uname .initrd .cmdline .osrel)',
    )
  })

  test('fails when a source does not keep its promise, and when it changes between the passes', async () => {
    const short: FileSource = { sizeBytes: 1000, open: () => chunks(new Uint8Array(999)) }
    await expect(prepareUki(options('x86-64', { initrd: short }))).rejects.toThrow(
      '.initrd: its source promised 1000 bytes and gave only 999',
    )
    let pass = 0
    const changing: FileSource = { sizeBytes: 1, open: () => chunks(Uint8Array.of(pass++)) }
    const image = await prepareUki(options('x86-64', { initrd: changing }))
    await expect(collect(image.open())).rejects.toThrow('a file changed while the UKI was written')
    const signal = AbortSignal.abort(new Error('before'))
    await expect(prepareUki(options('x86-64', { signal }))).rejects.toThrow('before')
    await expect(collect(image.open({ signal }))).rejects.toThrow('before')
  })
})

describe('checkUki()', () => {
  const small = (): Promise<Uint8Array> =>
    written(options('x86-64', { linux: kernel('x86-64', 5000), initrd: noise(9000) }))

  async function codeOf(bytes: Uint8Array): Promise<string> {
    try {
      await checkUki(bytesAccess(bytes))
    } catch (error) {
      if (error instanceof UkiError) return error.code
      throw error
    }
    return 'whole'
  }

  test('tells empty, cut-off and damaged files and other programs apart', async () => {
    const bytes = await small()
    expect(await codeOf(bytes)).toBe('whole')
    expect(await codeOf(new Uint8Array())).toBe('empty')
    expect(await codeOf(new Uint8Array(bytes.byteLength))).toBe('empty')
    expect(await codeOf(text('hello, world'.repeat(1000)))).toBe('not-a-uki')
    expect(await codeOf(stubs['x86-64'])).toBe('not-a-uki')
    expect(await codeOf(bytes.subarray(0, bytes.byteLength - 1))).toBe('truncated')
    expect(await codeOf(new Uint8Array(Buffer.concat([bytes, text('x')])))).toBe('damaged')
    const zeroed = bytes.slice()
    zeroed.fill(0, 4096, 8192)
    expect(await codeOf(zeroed)).toBe('damaged')
  })

  test('finds the end of the file wherever it was cut, by the headers alone', slow, async () => {
    const bytes = await small()
    await fc.assert(
      fc.asyncProperty(fc.nat(bytes.byteLength - 1), async (length) => {
        const cut = bytesAccess(bytes.subarray(0, length))
        await expect(readUki(cut)).rejects.toMatchObject({ code: length === 0 ? 'empty' : 'truncated' })
      }),
    )
  })

  test('finds any flipped bit', slow, async () => {
    const bytes = await small()
    await fc.assert(
      fc.asyncProperty(fc.nat(bytes.byteLength - 1), fc.nat(7), async (offset, bit) => {
        const damaged = bytes.slice()
        damaged[offset] = (damaged[offset] ?? 0) ^ (1 << bit)
        expect(await codeOf(damaged)).not.toBe('whole')
      }),
      { numRuns: 100 },
    )
  })

  test('answers any headers with a UkiError, whatever they say', slow, async () => {
    const bytes = await small()
    // Not the checksum itself, which could be made to fit, or be none.
    const checksumAt = 0x80 + 24 + 64
    const place = fc.nat(0x400).filter((offset) => offset < checksumAt || offset >= checksumAt + 4)
    const changes = fc.array(fc.tuple(place, fc.nat(255)), { minLength: 1, maxLength: 20 })
    await fc.assert(
      fc.asyncProperty(changes, async (pairs) => {
        const damaged = bytes.slice()
        for (const [offset, byte] of pairs) damaged[offset] = byte
        const code = await codeOf(damaged)
        // Changes that cancel out are not seen: 10 less in one word, 10 more in another.
        if (wordSum(damaged) !== wordSum(bytes)) expect(code).not.toBe('whole')
      }),
      { numRuns: 300 },
    )
  })

  test('reads files, also those that ukify wrote without a checksum', async () => {
    const bytes = await small()
    const path = join(folder, 'plain.efi')
    new DataView(bytes.buffer).setUint32(0x80 + 24 + 64, 0, true)
    writeFileSync(path, bytes)
    await using file = await fileAccess(path)
    const seen: number[] = []
    expect(await checkUki(file, { onProgress: (doneBytes) => seen.push(doneBytes) })).toMatchObject({
      hasChecksum: false,
    })
    expect(seen.at(-1)).toBe(bytes.byteLength)
  })
})

/** What the checksum sees of a file: the sum of its 16-bit words, where 0xffff counts as 0. */
function wordSum(bytes: Uint8Array): number {
  const words = new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 2)
  return words.reduce((sum, word) => (sum + word) % 0xffff, 0)
}

async function* chunks(...given: Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* given
}

async function* collectNothing(): AsyncGenerator<Uint8Array> {}
