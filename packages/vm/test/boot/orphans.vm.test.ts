// Whoever boots guests may be killed by SIGKILL, and cannot clean up: nothing of a guest is left all the same.
import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import type { Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import type { Backend } from '../../src/machine.ts'
import { descendantsOf, stateOf } from '../../src/process-machine/process-tree.ts'

const BACKENDS: readonly Backend[] = ['namespace', 'uml', 'qemu']

/** One that waits for a slow init of the host to reap it is gone. */
function isAlive(pid: number): boolean {
  return ![undefined, 'Z'].includes(stateOf(pid))
}

/** A process that boots a guest, and says so. */
function startMaker(...words: string[]): ChildProcessByStdio<null, Readable, null> {
  const program = fileURLToPath(new URL('orphan-boot.ts', import.meta.url))
  return spawn(process.execPath, [program, ...words], { stdio: ['ignore', 'pipe', 'inherit'] })
}

/** What guests of the process `pid` have in the folder for temporary files. */
function leftovers(pid: number): string[] {
  return readdirSync(tmpdir()).filter((name) => /^solo-/.test(name) && name.includes(`-${pid}-`))
}

test.each(BACKENDS)('a guest of boot() in %s is gone after a SIGKILL to its maker', async (backend) => {
  const maker = startMaker(backend)
  await once(maker.stdout, 'data')
  const pid = maker.pid ?? 0
  const guest = descendantsOf(pid)
  expect(guest.length).toBeGreaterThan(0)
  maker.kill('SIGKILL')
  await expect.poll(() => guest.filter((each) => isAlive(each))).toEqual([])
  // What a killed one could not remove, the next one does.
  const next = startMaker(backend, 'poweroff')
  expect((await once(next, 'exit'))[0]).toBe(0)
  expect(leftovers(pid)).toEqual([])
})
