import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { spawnSync } from 'node:child_process'
import { staticElfAddresses, writeStaticElf } from '@pkg/image/elf'
import { powerProgram } from '@pkg/init/power-program'
import { expect, test } from 'vitest'
import { startPid1 } from './namespace/pid1.ts'

/** The program as a file that the kernel executes. */
function executable(folder: string, kind: Parameters<typeof powerProgram>[0]): string {
  const machine = process.arch === 'x64' ? 'x86_64' : 'aarch64'
  const program = powerProgram(kind)
  const draft = program.standalone({ address: 0x40_0000 })
  const sizesBytes = [draft.code.length, draft.data.length]
  const [entryAddress = 0, address = 0] = staticElfAddresses({ machine, sizesBytes })
  const { code, data } = program.standalone({ address })
  const segments = [
    { address: entryAddress, bytes: code, flags: 'rx' },
    { address, bytes: data, flags: 'rw' },
  ] as const
  const path = join(folder, kind)
  writeFileSync(path, writeStaticElf({ machine, entryAddress, segments }))
  chmodSync(path, 0o755)
  return path
}

test.each([
  ['power-off', 'SIGINT'],
  ['halt', 'SIGINT'],
  ['reboot', 'SIGHUP'],
] as const)('powerProgram() of %s has PID 1 end its namespace by %s', async (kind, signal) => {
  await using pid1 = startPid1([])
  await pid1.waitFor(/init: ready in/)
  pid1.tell(executable(pid1.run, kind))
  await pid1.waitFor(new RegExp(`init: shutting down: ${kind}$`))
  expect(await pid1.ended).toEqual({ code: null, signal })
})

test('powerProgram() says that it may not, and fails, for who is not root', () => {
  const folder = mkdtempSync(join(tmpdir(), 'solo-power-'))
  chmodSync(folder, 0o755)
  const { status, stderr } = spawnSync(executable(folder, 'reboot'), {
    encoding: 'utf8',
    ...(process.getuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : {}),
  })
  expect(stderr).toBe('reboot: PID 1 cannot be asked: only root may\n')
  expect(status).toBe(1)
  rmSync(folder, { recursive: true })
})
