// Hostile arguments for every export, in a process that can harm nobody: no crash, no hang, no leak, no other errors.
import { spawnSync } from 'node:child_process'
import { closeSync, mkdtempSync, openSync, readFileSync, readSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { endsByNature } from '../scripts/wrapped/by-nature.ts'
import { exportedFunctions } from '../scripts/wrapped/sources.ts'

test('no export can be made to crash, hang, leak or throw anything but SysError, TypeError and RangeError', () => {
  const seed = Number(process.env['SOLO_FUZZ_SEED'] ?? Date.now() % 1_000_000_000)
  const runs = Number(process.env['SOLO_FUZZ_RUNS'] ?? 150)
  // Root of its own user, mount, pid, network, IPC and UTS namespaces.
  const folder = mkdtempSync(join(tmpdir(), 'solo-fuzz-'))
  const result = join(folder, 'result')
  // Root of its own user, mount, pid, network, IPC and UTS namespaces; descriptor 3 takes the result out of them.
  const sandbox = ['unshare', '-rmpnui', '--fork', '--kill-child', '--mount-proc']
  const script = join(import.meta.dirname, 'fuzz-exports.ts')
  const program = [...sandbox, process.execPath, script, String(seed), String(runs)]
  // Files of its own, not /dev/null: as the host's root, fchmod(0, …) would change that for everybody. Nor a pipe of
  // ours, which is a socket: read(2, …) would wait for what nobody writes.
  const start = 'exec "$@" 0<>"$0.input" 1>"$0.output" 2>"$0.errors" 3>"$0"'
  // Opened before: among the calls are fchmod(2, 0) and ftruncate(2, 2 ** 31).
  const errors = openSync(`${result}.errors`, 'w+')
  const { status, signal } = spawnSync('sh', ['-c', start, result, ...program], {
    timeout: 120_000,
    killSignal: 'SIGKILL',
    stdio: 'ignore',
  })
  const said = Buffer.alloc(16 * 1024 * 1024)
  const lines = said.toString('latin1', 0, readSync(errors, said, 0, said.length, 0)).replaceAll('\0', '')
  closeSync(errors)
  const last = lines.trim().split('\n').slice(-3).join(' ')
  expect([status, signal], `seed ${seed}, the last export was ${last}`).toEqual([0, null])
  const progress = JSON.parse(readFileSync(result, 'utf8')) as {
    cases: number
    exports: number
    wrong: string[]
    leaked: number
  }
  process.stdout.write(`fuzz: ${progress.cases} hostile calls of ${progress.exports} exports, seed ${seed}\n`)
  rmSync(folder, { recursive: true })
  expect(progress.wrong, `seed ${seed}`).toEqual([])
  expect(progress.leaked).toBe(0)
  expect(progress.exports).toBeGreaterThan(300)
}, 150_000)

test('the list of exports that end by nature names exports', () => {
  const known = new Set(exportedFunctions().map(({ module, name }) => `${module}.${name}`))
  expect([...endsByNature.keys()].filter((name) => !known.has(name))).toEqual([])
})
