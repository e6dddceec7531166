// Guests whose PID 1 is somebody else's program: no agent, only a console and an end.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { boot, type BootOptions } from '../../src/boot.ts'
import { GuestEndedError, GuestPanicError, GuestTimeoutError, MissingEndMarkError } from '../../src/errors.ts'
import type { Backend } from '../../src/machine.ts'
import { testKernel } from '../kernel.ts'
import { shellGuest } from '../shell-guest.ts'
import { type StaticInit, staticInit } from '../support/static-init.ts'

const BACKENDS: readonly Backend[] = ['namespace', 'uml', 'qemu']

/** Words that spare a translated kernel a third of its time. */
const QUICKLY = 'quiet mitigations=off cryptomgr.notests'

let program: StaticInit
beforeAll(() => {
  program = staticInit()
})
afterAll(() => program[Symbol.dispose]())

describe.each(BACKENDS)('boot({ init }) in %s', (backend) => {
  const start = (init: NonNullable<BootOptions['init']>, more: BootOptions = {}) =>
    boot({ backend, init, timeoutMs: 60_000, ...(backend === 'qemu' ? { append: QUICKLY } : {}), ...more })

  test("busybox's shell as init is driven at its console, and ends with its status", async () => {
    await using vm = await start(['/bin/busybox', 'sh'])
    await vm.console.waitFor(/ # /)
    vm.console.write('echo $((6 * 7)) is what process $$ says\n')
    await vm.console.waitFor(/^42 is what process 1 says/m)
    vm.console.write('exit 5\n')
    expect(await vm.exited).toMatchObject({ init: { code: 5, signal: null } })
  })

  test('a static C program that ends with 0 has done its work', async () => {
    await using vm = await start([program.path, 'exit', '0'], { endMark: /process 1 was told: exit/ })
    const { reason, init, error } = await vm.waitForPoweroff()
    expect({ reason, init, error }).toEqual({
      reason: 'poweroff',
      init: { code: 0, signal: null },
      error: undefined,
    })
  })

  test('one that ends with 3 has failed, and says so', async () => {
    await using vm = await start([program.path, 'exit', '3'])
    const { init, error } = await vm.exited
    expect(init).toEqual({ code: 3, signal: null })
    expect(error).toBeInstanceOf(GuestPanicError)
    expect(error?.message).toContain('init: process 1 was told: exit')
  })

  test('one that has not printed its end mark has failed, whatever its status', async () => {
    await using vm = await start([program.path, 'exit', '0'], { endMark: /all tests passed/ })
    expect((await vm.exited).error).toBeInstanceOf(MissingEndMarkError)
    await expect(vm.waitForPoweroff()).rejects.toThrow(/before it had printed \/all tests passed\//)
  })

  test('one that stays is ended by its limit; functions and files are not to be had of it', async () => {
    await using vm = await start([program.path, 'hang'], { silenceTimeoutMs: 2_000 })
    await expect(vm.run(() => 1)).rejects.toThrow('this guest has no agent: it is driven by its console')
    await expect(vm.readText('/etc/passwd')).rejects.toBeInstanceOf(GuestEndedError)
    const { error } = await vm.exited
    expect(error).toBeInstanceOf(GuestTimeoutError)
    expect(error).toMatchObject({ kind: 'silence' })
  })
})

test.each([0, 7])(
  'a program that ends QEMU through isa-debug-exit with %i has that status',
  async (status) => {
    await using vm = await boot({
      backend: 'qemu',
      init: [program.path, 'debug-exit', String(status)],
      append: QUICKLY,
      qemuArguments: ['-device', 'isa-debug-exit,iobase=0xf4,iosize=0x04'],
      timeoutMs: 60_000,
    })
    expect(await vm.exited).toMatchObject({ reason: 'poweroff', init: { code: status, signal: null } })
  },
)

test('boot({ kernel, initrd }) boots a whole initramfs of somebody else', async () => {
  using guest = await shellGuest()
  const { initrd } = guest
  // As it comes: packed.
  const { image } = await testKernel()
  await using vm = await boot({ kernel: { image }, initrd, endMark: /shell: bye/, timeoutMs: 60_000 })
  expect(vm.backend).toBe('qemu')
  await vm.console.waitFor(/shell: ready/)
  vm.console.write('echo shell: bye; poweroff -f\n')
  expect(await vm.waitForPoweroff()).toMatchObject({ reason: 'poweroff' })
})
