// The README's sandbox, run as it stands there: what the program inside sees, and how it ends.
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { scriptResult } from './child-script.ts'

const readme = readFileSync(join(import.meta.dirname, '../README.md'), 'utf8')
const section = readme.slice(readme.indexOf('## A sandbox'))
const code = /```ts\n([\s\S]*?)```/.exec(section)?.[1] ?? ''

test('the sandbox has a root of its own, an overlay, no capabilities and no sockets, in less than 40 lines', () => {
  expect(code.trim().split('\n').length).toBeLessThan(40)
  const script = code
    .replace(/^console\.log\(output.*$/m, 'process.stdout.write(JSON.stringify([output, code]))')
    // What /proc says of the program's rights, beside what the example asks for.
    .replace("'id; mount;", "'grep -E ^Cap.*: /proc/self/status; id; mount;")
  const [output, status] = scriptResult(script) as [string, number]
  expect(status).toBe(3)
  const lines = output.trim().split('\n')
  const sets = lines.filter((line) => line.startsWith('Cap')).map((line) => line.split('\t')[1])
  expect(new Set(sets)).toEqual(new Set(['0000000000000000']))
  expect(lines.find((line) => line.startsWith('uid='))).toMatch(/^uid=0\(root\) gid=0|^uid=0 gid=0/)
  const mounts = lines
    .filter((line) => line.includes(' on /'))
    .map((line) => /on (\S+) type (\w+)/.exec(line)?.slice(1))
  expect(mounts).toEqual([
    ['/', 'tmpfs'],
    ['/usr', 'overlay'],
    ['/proc', 'proc'],
  ])
  expect(lines).toEqual(expect.arrayContaining(['bin', 'lib', 'proc', 'usr', '/usr/new']))
  expect(lines.at(-1)).toMatch(/Operation not permitted/)
  expect(existsSync('/usr/new')).toBe(false)
})
