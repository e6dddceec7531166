// What watchMounts() promises when the process has other things to do.
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

test('watchMounts() tells of each change while the reactor is busy', () => {
  const program = fileURLToPath(new URL('./programs/watch-busy.ts', import.meta.url))
  const folder = mkdtempSync(join(tmpdir(), 'solo-mount-'))
  const output = execFileSync('unshare', ['-rm', process.execPath, program, folder], { encoding: 'utf8' })
  rmdirSync(folder)
  expect(output).toBe('8 of 8')
})
