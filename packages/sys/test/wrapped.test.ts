// The table of wrapped system calls: it is complete, its list is fresh, and it counts nothing that no test shows.
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'
import { describe, expect, test } from 'vitest'
import { reasons } from '../scripts/wrapped/reasons.ts'
import { exportedFunctions } from '../scripts/wrapped/sources.ts'
import { count, notWrappedText, syscallStatuses } from '../scripts/wrapped/table.ts'
import { casesIn, isTested } from '../scripts/wrapped/tests.ts'

const statuses = syscallStatuses()

describe('every system call', () => {
  test('has a wrapper with a test of its effect, or a reason, and never both', () => {
    const without = statuses.filter(({ wrappers, reason }) => wrappers.length === 0 && reason === undefined)
    expect(without.map(({ name, untested }) => `${name}: ${untested.join()}`)).toEqual([])
    const both = statuses.filter(({ wrappers, reason }) => wrappers.length > 0 && reason !== undefined)
    expect(both.map(({ name }) => name)).toEqual([])
    const known = new Set(statuses.map(({ name }) => name))
    expect([...reasons.keys()].filter((name) => !known.has(name))).toEqual([])
  })

  test('without a wrapper is in NOT-WRAPPED.md', () => {
    const path = fileURLToPath(new URL('../NOT-WRAPPED.md', import.meta.url))
    expect(readFileSync(path, 'utf8'), 'run bun scripts/syscalls.ts --write').toBe(notWrappedText(statuses))
  })

  test('can be called by name on both architectures', () => {
    for (const architecture of ['x64', 'arm64'] as const) {
      const { total, callable, wrapped, unexplained } = count(statuses, architecture)
      expect([callable, unexplained]).toEqual([total, 0])
      expect(wrapped).toBeGreaterThanOrEqual(290)
      expect(wrapped).toBeLessThan(total)
    }
  })
})

describe('exportedFunctions()', () => {
  test('finds calls through helpers, other files and re-exports, and no others', () => {
    const functions = new Map(exportedFunctions().map((one) => [`${one.module}.${one.name}`, one]))
    expect([...(functions.get('mount.mount_bind')?.reached ?? [])]).toEqual(['mount'])
    expect(functions.get('io.setNonBlocking')?.documented).toEqual([])
    expect(functions.get('io.setNonBlocking')?.reached).toContain('fcntl')
    expect(functions.get('io.setNonBlocking')?.reached).not.toContain('read')
    expect(functions.get('reactor.reactor')?.reached).toContain('epoll_ctl')
    expect(functions.get('fs.statx')?.documented).toEqual(['statx'])
  })
})

describe('isTested()', () => {
  const cases = (code: string): ReturnType<typeof casesIn> =>
    casesIn(ts.createSourceFile('x.ts', code, ts.ScriptTarget.Latest, true))

  test('wants the name in a title, a call and an expectation', () => {
    const good = `test('statx() says what stat says', () => { expect(statx(0)).toBe(1) })`
    expect(isTested('statx', cases(good))).toBe(true)
    expect(isTested('stat', cases(good))).toBe(false)
    expect(isTested('statx', cases(`describe('statx()', () => { ${good.replace('statx() ', '')} })`))).toBe(
      true,
    )
    for (const bad of [
      good.replace('statx() says', 'it says'),
      good.replace('statx(0)', '1'),
      good.replace('expect', 'void '),
      good.replace('says what stat says', 'refuses a closed descriptor'),
    ]) {
      expect(isTested('statx', cases(bad)), bad).toBe(false)
    }
  })
})
