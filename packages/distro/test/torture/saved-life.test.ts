import { execFile } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { crashStates } from '@pkg/vm/crash-states'
import { rememberingDisk } from '@pkg/vm/nbd'
import { afterAll, expect, test } from 'vitest'
import { testFolder } from '../support/folder.ts'
import { Judge, verdictText } from './judge.ts'
import type { Life } from './life.ts'
import { loadLife, saveLife } from './saved-life.ts'
import { judgeOptionsOf, smallDisk, smallRelease } from './small-system.ts'
import { DataJudge } from './user-files.ts'

const folder = testFolder()
afterAll(() => folder[Symbol.dispose]())

test('loadLife() gives back what saveLife() was given: the same states, with the same verdicts', async () => {
  const release = await smallRelease(1)
  const small = await smallDisk({ a: { release } })
  const [base, variables] = [join(folder.path, 'base'), join(folder.path, 'variables')]
  writeFileSync(base, small.bytes)
  writeFileSync(variables, 'as the firmware left them')
  await using disk = await rememberingDisk({ base })
  const { startBytes } = small.partitions.esp
  disk.mark('begin')
  // The boot partition's first sectors, and its second table: one state boots, others do not.
  const writes = [`write -P 0 ${startBytes} 512`, 'flush', `write -P 0xaa ${startBytes + 8192} 4096`]
  await promisify(execFile)('qemu-io', ['-f', 'raw', ...writes.flatMap((each) => ['-c', each]), disk.uri])
  const judgeOptions = judgeOptionsOf([release])
  const kept = new Map([['begin', { path: 'lib/keeper/1', content: 'x\n' }]])
  const life: Life = {
    past: {
      ...{ log: disk.log, judge: new Judge(judgeOptions), data: new DataJudge(folder.path) },
      ...{ kept, installed: new Map([['begin', 1]]), phases: [{ name: 'all', from: 'begin' }] },
    },
    judgeOptions,
    variables: new Map([['all', variables]]),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  }
  const place = join(folder.path, 'kept')
  mkdirSync(place)
  await saveLife(life, place)
  await using loaded = loadLife(place, folder.path)
  const told = async ({ past: { log, judge } }: Life): Promise<string[]> => {
    const lines: string[] = []
    for (const state of crashStates(log, { seed: 's' }))
      lines.push(`${state.name} ${state.hash}: ${verdictText(await judge.judge(state))}`)
    return lines
  }
  const expected = await told(life)
  expect(await told(loaded)).toEqual(expected)
  expect(expected.some((line) => line.includes('nothing boots'))).toBe(true)
  expect(expected.some((line) => / by soloa/.test(line))).toBe(true)
  expect(loaded.past.kept).toEqual(kept)
  expect(loaded.past.installed).toEqual(life.past.installed)
  expect(loaded.past.phases).toEqual(life.past.phases)
  expect(readFileSync(loaded.variables.get('all') ?? '', 'utf8')).toBe('as the firmware left them')
})
