import fc from 'fast-check'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { crashState, crashStates, type CrashStatesOptions } from '../src/crash-states.ts'
import { BaseImage } from '../src/nbd/base-image.ts'
import { RecordingLog, type ChangeEntry } from '../src/nbd/log.ts'

const SECTOR = 512

/** A log by hand, with a disk's contents beside it that is nothing but an array. */
class Recorder implements Disposable {
  readonly sizeBytes: number
  readonly log: RecordingLog
  readonly disk: Uint8Array
  readonly #base = new BaseImage(undefined)

  constructor(sectors: number) {
    this.sizeBytes = sectors * SECTOR
    this.log = new RecordingLog(this.#base, this.sizeBytes, 1 << 24)
    this.disk = new Uint8Array(this.sizeBytes)
  }

  write(sector: number, letters: string, { fua = false, issuedIndex = this.log.length } = {}): void {
    const data = Buffer.from(letters.replaceAll(/./g, (letter) => letter.repeat(SECTOR)))
    this.disk.set(data, sector * SECTOR)
    this.log.change({ kind: 'write', offset: sector * SECTOR, length: data.length, fua, issuedIndex }, data)
  }

  trim(sector: number, sectors: number): void {
    this.disk.fill(0, sector * SECTOR, (sector + sectors) * SECTOR)
    const range = { offset: sector * SECTOR, length: sectors * SECTOR }
    this.log.change({ kind: 'trim', ...range, fua: false, issuedIndex: this.log.length })
  }

  flush(issuedIndex: number = this.log.length): void {
    this.log.flush(issuedIndex)
  }

  [Symbol.dispose](): void {
    for (const part of [this.log, this.#base]) part[Symbol.dispose]()
  }
}

/** A disk as text, a letter a sector. */
function text(bytes: Uint8Array): string {
  return Array.from({ length: bytes.length / SECTOR }, (_, sector) => {
    const letters = new Set(bytes.subarray(sector * SECTOR, (sector + 1) * SECTOR))
    const [letter = 0] = letters
    return letters.size > 1 ? '?' : letter === 0 ? '.' : String.fromCharCode(letter)
  }).join('')
}

function states({ log, sizeBytes }: Recorder, options: CrashStatesOptions = {}): string[] {
  return [...crashStates(log, options)].map((state) => text(state.read(0, sizeBytes)))
}

let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'solo-crash-test-'))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

describe('crashStates()', () => {
  test('gives every subset of what was not flushed, each once', () => {
    using disk = new Recorder(3)
    disk.write(0, 'a')
    disk.write(1, 'b')
    disk.write(2, 'c')
    expect(states(disk).toSorted()).toEqual(['...', '..c', '.b.', '.bc', 'a..', 'a.c', 'ab.', 'abc'])
  })

  test('keeps what was flushed', () => {
    using disk = new Recorder(2)
    disk.write(0, 'a')
    disk.flush()
    disk.write(1, 'b')
    expect(states(disk).toSorted()).toEqual(['..', 'a.', 'ab'])
  })

  test('lets a flush cover only what was completed before it was issued', () => {
    using disk = new Recorder(2)
    disk.write(0, 'a')
    disk.write(1, 'b')
    // Issued between the two writes, completed after both.
    disk.flush(1)
    expect(states(disk)).toContain('.b')
    disk.log.mark('flushed')
    expect(states(disk, { from: 'flushed' }).toSorted()).toEqual(['a.', 'ab'])
  })

  test('lets a write that was under way during a flush be there already', () => {
    using disk = new Recorder(2)
    disk.write(0, 'a')
    disk.flush()
    disk.write(1, 'b', { issuedIndex: 1 })
    expect(states(disk)).toContain('.b')
  })

  test('keeps a FUA write once it is completed, and only that one', () => {
    using disk = new Recorder(3)
    disk.write(0, 'a')
    disk.write(1, 'b', { fua: true })
    disk.log.mark('answered')
    expect(states(disk, { from: 'answered' }).toSorted()).toEqual(['.b.', 'ab.'])
  })

  test('never lets an earlier write of the same sectors win over a later one that has settled', () => {
    using disk = new Recorder(1)
    disk.write(0, 'a')
    disk.write(0, 'b', { fua: true })
    disk.log.mark('answered')
    expect(states(disk, { from: 'answered' })).toEqual(['b'])
  })

  test('tears writes between their sectors, at both ends', () => {
    using disk = new Recorder(4)
    disk.write(0, 'abcd')
    expect(states(disk).toSorted()).toEqual(['....', '...d', '..cd', '.bcd', 'a...', 'ab..', 'abc.', 'abcd'])
    expect(states(disk, { tornPerEpoch: 0 }).toSorted()).toEqual(['....', 'abcd'])
    expect(states(disk, { sectorBytes: 1_024 }).toSorted()).toEqual(['....', '..cd', 'ab..', 'abcd'])
  })

  test('tells of each state which marks it came after, and gives it again after a new one', () => {
    using disk = new Recorder(1)
    disk.write(0, 'a')
    disk.flush()
    disk.log.mark('one')
    const found = [...crashStates(disk.log)].map((state) => [text(state.read(0, SECTOR)), state.marks])
    expect(found).toEqual([
      ['.', []],
      ['a', []],
      ['a', ['one']],
    ])
    expect(() => states(disk, { from: 'two' })).toThrow(TypeError)
  })

  test('describes a state, and finds it again by its name', () => {
    using disk = new Recorder(8)
    disk.write(0, 'a')
    disk.flush()
    disk.write(1, 'b')
    disk.write(2, 'cdef')
    disk.log.mark('late')
    const all = [...crashStates(disk.log)]
    expect(all.map(({ description }) => description)).toContain(
      'epoch 2 (1 changes just settled); up to write #3 (2048 bytes at 1024); without write #2 (512 bytes at 512) — after mark "late"',
    )
    for (const state of all) {
      const again = crashState(disk.log, state.name)
      expect(again).toMatchObject({ hash: state.hash, description: state.description })
      expect(text(again.read(0, disk.sizeBytes))).toBe(text(state.read(0, disk.sizeBytes)))
    }
    expect(() => crashState(disk.log, '9-1')).toThrow(RangeError)
  })

  test('tells parts apart that differ, whatever became of the rest of the disk', () => {
    using disk = new Recorder(4)
    disk.write(0, 'a')
    disk.write(2, 'bb')
    const all = [...crashStates(disk.log, { tornPerEpoch: 0 })]
    const part = (state: (typeof all)[number], sector: number): string =>
      `${text(state.read(sector * SECTOR, SECTOR))} ${state.hashOf(sector * SECTOR, SECTOR)}`
    expect(all.map(({ hash }) => hash).length).toBe(4)
    expect(new Set(all.map((state) => part(state, 0))).size).toBe(2)
    expect(new Set(all.map((state) => part(state, 2))).size).toBe(2)
    expect(new Set(all.map((state) => state.hashOf(SECTOR, SECTOR)))).toEqual(new Set(['0'.repeat(32)]))
    expect(all.every((state) => state.hashOf(0, disk.sizeBytes) === state.hash)).toBe(true)
    expect(() => all[0]?.hashOf(disk.sizeBytes, 1)).toThrow(RangeError)
  })

  test('samples where subsets are too many: equal seeds choose equally, and every single loss is likely', () => {
    using disk = new Recorder(20)
    for (let sector = 0; sector < 20; sector += 1) disk.write(sector, 'x')
    const options = { seed: 'a', samplesPerEpoch: 40 }
    expect(states(disk, options)).toEqual(states(disk, options))
    expect(states(disk, options)).not.toEqual(states(disk, { ...options, seed: 'b' }))
    const single = states(disk, options).filter((state) => state.replaceAll('x', '') === '.')
    expect(single).toHaveLength(20)
  })

  test('trims of a whole empty disk cost nothing and change nothing', () => {
    using base = new BaseImage(undefined)
    using log = new RecordingLog(base, 2 ** 34, 1 << 20)
    log.change({ kind: 'trim', offset: 0, length: log.sizeBytes, fua: false, issuedIndex: 0 })
    expect([...crashStates(log)]).toHaveLength(1)
  })

  test('writes states that are what they read as', async () => {
    using disk = new Recorder(4)
    disk.write(0, 'ab')
    disk.trim(1, 1)
    for (const state of crashStates(disk.log)) {
      await state.writeTo(join(folder, 'state'))
      expect(readFileSync(join(folder, 'state')).equals(state.read(0, disk.sizeBytes))).toBe(true)
    }
  })
})

/** A random past of a disk of eight sectors, as the calls that make it. */
const pasts = fc.array(
  fc.oneof(
    fc.record({
      kind: fc.constant('write' as const),
      sector: fc.nat(7),
      letters: fc.stringMatching(/^[a-z]{1,4}$/),
      fua: fc.boolean(),
    }),
    fc.record({
      kind: fc.constant('trim' as const),
      sector: fc.nat(7),
      sectors: fc.integer({ min: 1, max: 4 }),
    }),
    fc.record({ kind: fc.constant('flush' as const), back: fc.nat(2) }),
  ),
  { maxLength: 14 },
)

describe('every state of any past', () => {
  test('holds in each sector what one of the changes since its last settled one left there; the disk is among them', () => {
    fc.assert(
      fc.property(pasts, fc.string(), (past, seed) => {
        using disk = new Recorder(12)
        for (const step of past) {
          if (step.kind === 'write') disk.write(step.sector, step.letters, { fua: step.fua })
          else if (step.kind === 'trim') disk.trim(step.sector, step.sectors)
          else disk.flush(Math.max(0, disk.log.length - step.back))
        }
        disk.log.mark('end')
        const all = [...crashStates(disk.log, { from: 'end', seed, exhaustiveWrites: 4, samplesPerEpoch: 8 })]
        const possible = possibleAtEnd(disk)
        for (const state of all)
          for (const [sector, letter] of text(state.read(0, disk.sizeBytes)).split('').entries())
            expect(possible[sector]).toContain(letter)
        expect(all.map((state) => text(state.read(0, disk.sizeBytes)))).toContain(text(disk.disk))
        expect(new Set(all.map(({ hash }) => hash)).size).toBe(
          new Set(all.map((state) => text(state.read(0, disk.sizeBytes)))).size,
        )
      }),
      { numRuns: 150 },
    )
  })
})

/** The model: by sector, the last settled letter and all that were written after it. */
function possibleAtEnd({ log, sizeBytes }: Recorder): string[] {
  const changes = log.entries.filter((entry): entry is ChangeEntry => 'offset' in entry)
  const flushed = Math.max(0, ...log.entries.flatMap((e) => (e.kind === 'flush' ? [e.issuedIndex] : [])))
  return Array.from({ length: sizeBytes / SECTOR }, (_, sector) => {
    let letters = '.'
    for (const change of changes) {
      const at = sector * SECTOR
      if (at < change.offset || at >= change.offset + change.length) continue
      const bytes = new Uint8Array(SECTOR)
      if (change.kind === 'write') log.readData(change, bytes, at - change.offset)
      letters = change.fua || change.index < flushed ? text(bytes) : letters + text(bytes)
    }
    return letters
  })
}

/**
 * The smallest file system: sector 0 names the sector that holds the file. Replacing the file writes a free sector
 * and then the name.
 */
function replaceFile(disk: Recorder, { careful }: { careful: boolean }): string[] {
  disk.write(1, 'o')
  disk.write(0, '1')
  disk.flush()
  disk.log.mark('old')
  disk.write(2, 'n')
  if (careful) disk.flush()
  disk.write(0, '2')
  disk.flush()
  return states(disk, { from: 'old' }).map((state) => state[Number(state[0])] ?? '?')
}

describe('a program that replaces a file', () => {
  test('is caught when it does not flush the data before the name', () => {
    using disk = new Recorder(3)
    expect(replaceFile(disk, { careful: false })).toContain('.')
  })

  test('passes when it does', () => {
    using disk = new Recorder(3)
    expect(new Set(replaceFile(disk, { careful: true }))).toEqual(new Set(['o', 'n']))
  })
})
