// Ends of a guest that nobody looks at, and what must not keep it from ending.
import { once } from 'node:events'
import { expect, test } from 'vitest'
import { GuestCallTimeoutError } from '../../src/agent.ts'
import { boot } from '../../src/boot.ts'
import { VmError } from '../../src/errors.ts'

test('disposal throws the error of an end that nobody met, though a program runs', async () => {
  const guest = await boot({ backend: 'namespace' })
  const program = await guest.spawn('/bin/bun', ['-e', 'console.log(1); setInterval(() => {}, 1000)'])
  await once(program.stdout, 'data')
  // PID 1 goes away under the program, a moment later: no call is under way then.
  await guest.runWith({ pid1: true }, () => void setTimeout(() => process.exit(3), 100))
  await expect.poll(() => isThere(guest.pid)).toBe(false)
  await expect(guest[Symbol.asyncDispose]()).rejects.toThrow(VmError)
})

test('reboot() of a paused guest fails in its time', async () => {
  await using guest = await boot({ backend: 'namespace' })
  await guest.pause()
  await expect(guest.reboot({ timeoutMs: 200 })).rejects.toThrow(GuestCallTimeoutError)
  await expect(guest.reboot({ timeoutMs: 2 ** 31 })).rejects.toThrow(RangeError)
})

function isThere(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}
