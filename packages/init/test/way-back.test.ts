// The way back to another slot: what is known of it, who asks for it, and what PID 1 remembers on the boot partition.
import { existsSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { readCounter, raiseCounter } from '../src/firmware/counter.ts'
import { listEntries, releaseOf } from '../src/firmware/entries.ts'
import { countPassedOver } from '../src/storage/slots.ts'
import { nextRelease, rollBack } from '../src/trial/by-hand.ts'
import { records, type TrialRecord } from '../src/trial/record.ts'
import { lastRollback } from '../src/trial/rollback.ts'
import { bootFolder } from './support/boot-folder.ts'

const boot = bootFolder()
const { install, files } = boot

const dead: TrialRecord = { slot: 'solo-b', version: '1.2', counter: 2, tries: 3, step: 'x', verdict: null }
const from = { slot: 'solo-b', version: '1.2', counter: 2 }

test('lastRollback() tells a trial that died from one that left no word, and keeps what it knows', async () => {
  install({ 'soloa+2-1.efi': 1, 'solob+0-3.efi': 2 })
  const { spent } = await boot.slots('soloa+2-1.efi')
  expect(spent).toMatchObject([{ slot: 'solo-b', version: '1.2', counter: 2 }])
  const clues = { slot: 'solo-a', counter: 1, trial: dead, spent, passedOver: [], known: null, now: 'now' }
  expect(lastRollback(clues)).toEqual({
    from,
    reason: 'it did not get as far as its gate in 3 of its tries; last seen: x',
    at: 'now',
  })
  const silent = lastRollback({ ...clues, trial: null })
  expect(silent).toMatchObject({ from, reason: expect.stringMatching(/left no word/) as string })
  expect(lastRollback({ ...clues, trial: null, known: silent, now: 'later' })).toBe(silent)
  expect(lastRollback({ ...clues, spent: [] })).toBeNull()
  // The slot itself, on its second try; and an older slot that was given up long ago.
  expect(lastRollback({ ...clues, slot: 'solo-b', counter: 2, spent: [] })).toBeNull()
  expect(lastRollback({ ...clues, counter: 3, trial: null })).toBeNull()
})

test('lastRollback() tells a release from the one that its slot had before, which was given up for another reason', async () => {
  install({ 'soloa+2-1.efi': 1, 'solob+0-3.efi': 3 })
  const { spent, passedOver } = await boot.slots('soloa+2-1.efi')
  const trial = { ...dead, verdict: { passed: false, reason: 'web failed', at: 'then' } }
  const known = { from, reason: 'web failed', at: 'then' }
  const clues = { slot: 'solo-a', counter: 1, trial, spent, passedOver, known, now: 'now' }
  const newer = { from: { ...from, version: '1.3', counter: 3 }, at: 'now' }
  expect(lastRollback(clues)).toMatchObject(newer)
  // A record without a verdict is of what was tried last, even when that cannot be read any more.
  const [unreadable] = spent.map((entry) => Object.assign({}, entry, { version: null, counter: null }))
  if (unreadable === undefined) throw new Error('one entry is spent')
  expect(lastRollback({ ...clues, trial: dead, spent: [unreadable] })).toMatchObject({ from, at: 'now' })
})

test('lastRollback() tells that the loader passed over a newer slot', async () => {
  install({ 'soloa+2-1.efi': 1, 'solob+3-0.efi': 2 })
  const { spent, passedOver, hasOther } = await boot.slots('soloa+2-1.efi', ['solo-a'])
  expect({ spent, hasOther }).toEqual({ spent: [], hasOther: true })
  const clues = { slot: 'solo-a', counter: 1, trial: null, spent, passedOver, known: null, now: 'now' }
  const told = lastRollback(clues)
  expect(told).toMatchObject({
    from,
    reason: expect.stringMatching(/^the boot loader passed over it: /) as string,
  })
  expect(lastRollback({ ...clues, known: told, now: 'later' })).toBe(told)
  // On trial when it was last started; and an older slot, which nobody waits for.
  expect(lastRollback({ ...clues, trial: dead })).toEqual(told)
  expect(lastRollback({ ...clues, counter: 3 })).toBeNull()
})

test.each([
  ['a loader that has both', 'soloa+2-1.efi', ['solo-a', 'solo-b']],
  ['one that does not say', 'soloa+2-1.efi', undefined],
  ['the list of another one', 'soloa+2-1.efi', ['solo-b']],
  ['the list of an earlier boot, which was blessed', 'soloa+1-2.efi', ['solo-a']],
])('no slot was passed over by %s', async (_, booted, listed) => {
  install({ 'soloa+2-1.efi': 1, 'solob+3-0.efi': 2 })
  expect(await boot.slots(booted, listed)).toMatchObject({ passedOver: [], hasOther: true })
})

test('countPassedOver() takes one try at each boot, of a slot and of nothing else, and says what it could not do', async () => {
  install({ 'soloa+2-1.efi': 1, 'solob+3-0.efi': 2, 'Rescue.efi': 1 })
  const lines: string[] = []
  const boots = async (): Promise<void> => {
    const slots = await boot.slots('soloa+2-1.efi', ['solo-a'])
    await countPassedOver(slots, (_, text) => void lines.push(text))
  }
  for (const left of ['solob+2-1.efi', 'solob+1-2.efi', 'solob+0-3.efi', 'solob+0-3.efi']) {
    await boots()
    expect(files()).toEqual(['Rescue.efi', 'soloa+2-1.efi', left])
  }
  expect(lines).toEqual(
    [3, 2, 1].map((left) => expect.stringContaining(`passed over solob+${left}-`) as string),
  )
  install({ 'solob+1-2.efi': 2 })
  rmSync(join(boot.root, 'EFI/Linux/solob+0-3.efi'))
  const slots = await boot.slots('soloa+2-1.efi', ['solo-a'])
  const partition = { ...slots.partition, rename: () => Promise.reject(new Error('no room')) }
  await countPassedOver({ ...slots, partition }, (_, text) => void lines.push(text))
  expect(lines.at(-1)).toMatch(/passed over solob\+1-2\.efi, which keeps its tries: no room$/)
})

const silent = (): void => {}

test('rollBack() of a slot that runs in its last try leaves its counter, and what follows is the other one', async () => {
  install({ 'soloa+3-0.efi': 1, 'solob+0-3.efi': 2 })
  const kept = records(join(boot.root, 'var'))
  const slots = await boot.slots('solob+0-3.efi')
  expect(await rollBack({ slots, records: kept, log: silent }, 'by hand')).toBe('solo-b (1.2)')
  expect(files()).toEqual(['soloa+3-0.efi', 'solob+0-3.efi'])
  expect(kept.trial()).toMatchObject({ slot: 'solo-b', verdict: { passed: false, reason: 'by hand' } })
})

test('rollBack() goes on when its reason cannot be kept, and says so', async () => {
  install({ 'soloa+3-0.efi': 1, 'solob+3-0.efi': 2 })
  writeFileSync(join(boot.root, 'full'), '')
  // No folder can be made below a file, as none can on a full disk.
  const kept = records(join(boot.root, 'full'))
  const lines: string[] = []
  const slots = await boot.slots('solob+3-0.efi')
  await rollBack({ slots, records: kept, log: (_, text) => void lines.push(text) }, 'by hand')
  expect(files()).toContain('solob+0-3.efi')
  expect(lines).toEqual([expect.stringMatching(/^the reason cannot be kept: /)])
})

test('rollBack() gives the newest slot up, whether it runs or waits for its first boot', async () => {
  install({ 'soloa+3-0.efi': 1, 'solob+3-0.efi': 2 })
  const kept = records(join(boot.root, 'var'))
  for (const running of ['soloa+3-0.efi', 'solob+3-0.efi']) {
    install({ 'solob+3-0.efi': 2 })
    const slots = await boot.slots(running)
    expect(await rollBack({ slots, records: kept, log: silent }, 'by hand')).toBe('solo-b (1.2)')
    expect(files()).toContain('solob+0-3.efi')
    rmSync(join(boot.root, 'EFI/Linux/solob+0-3.efi'))
  }
  expect(kept.trial()).toMatchObject({ slot: 'solo-b', verdict: { passed: false, reason: 'by hand' } })
  const alone = await boot.slots('soloa+3-0.efi')
  await expect(rollBack({ slots: alone, records: kept, log: silent }, 'by hand')).rejects.toThrow(
    'there is no other slot to go back to',
  )
  expect(files()).toEqual(['soloa+3-0.efi'])
})

test('nextRelease() tells what a restart would start, when that is another slot', async () => {
  const next = async (booted: string) => {
    const found = await nextRelease(await boot.slots(booted))
    return found && [found.slot, found.version]
  }
  install({ 'soloa+3-0.efi': 1 })
  expect(await next('soloa+3-0.efi')).toBeNull()
  install({ 'solob+3-0.efi': 2 })
  expect(await next('soloa+3-0.efi')).toEqual(['solo-b', '1.2'])
  expect(await next('solob+3-0.efi')).toBeNull()
  rmSync(join(boot.root, 'EFI/Linux/solob+3-0.efi'))
  install({ 'solob+0-3.efi': 2 })
  expect(await next('soloa+3-0.efi')).toBeNull()
})

test('raiseCounter() never lowers it, and readCounter() tells a damaged file', () => {
  expect(readCounter(boot.root)).toBe(0)
  raiseCounter(boot.root, 5)
  raiseCounter(boot.root, 3)
  expect(readCounter(boot.root)).toBe(5)
  const file = join(boot.root, 'EFI/solo/counter')
  expect(readFileSync(file, 'utf8')).toBe('5\n')
  writeFileSync(file, '')
  expect(readCounter(boot.root)).toBeNull()
  raiseCounter(boot.root, 4)
  expect(readCounter(boot.root)).toBe(4)
  expect(existsSync(`${file}.new`)).toBe(false)
  // Reading address 0 of a process is EIO, as is reading a file whose clusters are not to be found.
  rmSync(file)
  symlinkSync('/proc/self/mem', file)
  expect(readCounter(boot.root)).toBeNull()
})

test('releaseOf() knows nothing of a file that is no kernel image', async () => {
  install({ 'soloa+3-0.efi': 3 })
  writeFileSync(join(boot.root, 'EFI/Linux/solob+0-3.efi'), 'torn')
  const [a, b] = listEntries(boot.root).toSorted((x, y) => (x.slot < y.slot ? -1 : 1))
  if (a === undefined || b === undefined) throw new Error('two entries are there')
  expect(await releaseOf(boot.root, a)).toEqual({ version: '1.3', counter: 3 })
  expect(await releaseOf(boot.root, b)).toEqual({ version: null, counter: null })
})
