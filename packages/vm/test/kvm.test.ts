import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { QemuMissingError } from '../src/errors.ts'
import { accelerator, probe } from '../src/kvm.ts'
import { bootSector } from '../src/kvm/boot-sector.ts'
import { remembered } from '../src/kvm/memory.ts'
import { fakeQemu } from './fake-qemu.ts'

let cacheFolder = ''
beforeEach(() => {
  cacheFolder = mkdtempSync(join(tmpdir(), 'solo-vm-test-'))
})
afterEach(() => rmSync(cacheFolder, { recursive: true }))

describe('probe()', () => {
  test('says no, with the words of a QEMU that aborts, and leaves no file', async () => {
    using qemu = fakeQemu('echo "error: failed to set MSR 0x10a to 0x69" >&2; kill -ABRT $$')
    const result = await probe('kvm', { qemu: qemu.path, cacheFolder })
    expect(result).toEqual({ works: false, reason: 'error: failed to set MSR 0x10a to 0x69' })
    expect(readdirSync(cacheFolder)).toEqual([])
  })

  test('says no to a guest that never starts, at its time', async () => {
    using qemu = fakeQemu('exec sleep 60')
    const result = await probe('kvm', { qemu: qemu.path, cacheFolder, timeoutMs: 200 })
    expect(result).toEqual({ works: false, reason: 'the guest did not start within 0.2 s' })
  })

  test("says no to the right exit status without the guest's mark", async () => {
    using qemu = fakeQemu('exit 33')
    expect(await probe('kvm', { qemu: qemu.path, cacheFolder })).toMatchObject({ works: false })
  })

  test('says no, and why, when the tiny guest cannot be written', async () => {
    using qemu = fakeQemu('exit 33')
    const result = await probe('kvm', { qemu: qemu.path, cacheFolder: '/proc/nowhere' })
    expect(result.works).toBe(false)
    expect(result.reason).toContain('could not be written')
  })

  test('QemuMissingError without QEMU', async () => {
    await expect(probe('tcg', { qemu: 'qemu-nowhere', cacheFolder })).rejects.toThrow(QemuMissingError)
    await expect(accelerator({ qemu: 'qemu-nowhere', cacheFolder })).rejects.toThrow(QemuMissingError)
  })
})

describe('accelerator()', () => {
  afterEach(() => vi.unstubAllEnvs())

  test('takes SOLO_ACCELERATOR without a question, and refuses another word', async () => {
    vi.stubEnv('SOLO_ACCELERATOR', 'kvm')
    await expect(accelerator({ qemu: 'qemu-nowhere' })).resolves.toBe('kvm')
    vi.stubEnv('SOLO_ACCELERATOR', 'tgc')
    await expect(accelerator({ cacheFolder })).rejects.toThrow("SOLO_ACCELERATOR: tgc is not 'kvm' or 'tcg'")
  })
})

describe('remembered()', () => {
  const yes = { works: true, reason: '' }
  const ask = async (): Promise<typeof yes> => {
    asked++
    return yes
  }
  let asked = 0
  beforeEach(() => {
    asked = 0
  })

  test('asks once per machine, and leaves one file', async () => {
    const file = join(cacheFolder, 'deep', 'answers.json')
    for (const machine of ['a', 'b', 'a', 'b']) expect(await remembered(file, machine, ask)).toEqual(yes)
    expect(asked).toBe(2)
    expect(readdirSync(join(cacheFolder, 'deep'))).toEqual(['answers.json'])
    expect(JSON.parse(readFileSync(file, 'utf8'))).toEqual({ a: yes, b: yes })
  })

  test.each(['', '{', 'null', '[]', '{"a": 1}', '{"a": {"works": "yes"}}'])(
    'asks again when the file holds %j',
    async (text) => {
      const file = join(cacheFolder, 'answers.json')
      writeFileSync(file, text)
      await remembered(file, 'a', ask)
      await remembered(file, 'a', ask)
      expect(asked).toBe(1)
    },
  )

  test('answers even where nothing can be written', async () => {
    expect(await remembered('/proc/nowhere/answers.json', 'a', ask)).toEqual(yes)
  })
})

test('bootSector() ends its first sector with the mark that the BIOS looks for', () => {
  expect([...bootSector().subarray(510, 512)]).toEqual([0x55, 0xaa])
})
