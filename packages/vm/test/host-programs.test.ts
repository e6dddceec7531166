// Programs of the host that are run for somebody: they end with whoever wanted them.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { endedBy, runProgram } from '../src/host/program.ts'
import { descendantsOf, stateOf } from '../src/process-machine/process-tree.ts'

/** One that waits for a slow init of the host to reap it is gone. */
const isAlive = (pid: number): boolean => ![undefined, 'Z'].includes(stateOf(pid))

test('endedBy() kills what is run in it, and rejects with the reason of the signal', async () => {
  const before = new Set(descendantsOf(process.pid))
  const controller = new AbortController()
  const wrapped = async (): Promise<never> => {
    await runProgram('sleep', ['600']).catch((cause: unknown) => {
      throw new Error('sleep has failed', { cause })
    })
    throw new Error('nobody sleeps so long')
  }
  const work = endedBy(controller.signal, wrapped)
  const started = (): number[] => descendantsOf(process.pid).filter((pid) => !before.has(pid))
  await expect.poll(started).not.toEqual([])
  const programs = started()
  controller.abort(new Error('enough'))
  await expect(work).rejects.toThrow('enough')
  await expect.poll(() => programs.filter(isAlive)).toEqual([])
  await expect(endedBy(controller.signal, async () => runProgram('sleep', ['600']))).rejects.toThrow('enough')
})

test('runProgram() leaves nothing when its process is killed', async () => {
  const module = fileURLToPath(new URL('../src/host/program.ts', import.meta.url))
  const script = `const { runProgram } = await import(${JSON.stringify(module)})
    console.log('begins')
    await runProgram('sleep', ['600'])`
  const child = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] })
  await once(child.stdout, 'data')
  // From then on it has asked the kernel for the end of its parent.
  const names = (): string[] =>
    descendantsOf(child.pid ?? 0).map((pid) => readFileSync(`/proc/${pid}/comm`, 'utf8').trim())
  await expect.poll(names).toEqual(['sleep'])
  const programs = descendantsOf(child.pid ?? 0)
  child.kill('SIGKILL')
  await expect.poll(() => programs.filter(isAlive)).toEqual([])
})
