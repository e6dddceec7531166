// The same tests in every backend. What a backend cannot do it says, and nothing is started for it.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { boot, objectionsTo, type Vm } from '../../src/boot.ts'
import { MissingEndMarkError, UnsupportedError } from '../../src/errors.ts'
import type { Backend } from '../../src/machine.ts'

const BACKENDS: readonly Backend[] = ['namespace', 'uml', 'qemu']

describe.each(BACKENDS)('a guest in %s', (backend) => {
  let vm: Vm
  beforeAll(async () => {
    vm = await boot({ backend, timeoutMs: 240_000 })
  })
  afterAll(() => vm[Symbol.asyncDispose]())

  test('is brought up without a problem', async () => {
    expect(await vm.hello({ timeoutMs: 1_000 })).toMatchObject({ pid: 1, bootProblems: [] })
  })

  test('runs a function, whose exception comes back as what it was', async () => {
    expect(
      await vm.run((one: bigint, other: Set<string>) => [one + 1n, other.has('x')], 1n, new Set(['x'])),
    ).toEqual([2n, true])
    const thrown = vm.run(() => {
      throw new RangeError('too far', { cause: 'the guest' })
    })
    await expect(thrown).rejects.toMatchObject({ name: 'RangeError', message: 'too far', cause: 'the guest' })
  })

  test('mounts, where only it can see it', async () => {
    await vm.run(async () => {
      const { mount } = await import('@pkg/sys/mount')
      mount('tmpfs', '/mnt', 'tmpfs')
    })
    await vm.writeFile('/mnt/file', 'inside')
    expect(await vm.readText('/mnt/file')).toBe('inside')
  })

  test('sets its clock, where it has one', async () => {
    const [objection] = await objectionsTo(backend, { needs: ['clock'] })
    if (objection) {
      expect(objection.reason).toMatch(/the clock is the host's/)
      await expect(boot({ backend, needs: ['clock'] })).rejects.toBeInstanceOf(UnsupportedError)
      return
    }
    await vm.setClock(Date.UTC(2040, 0, 1))
    expect((await vm.info()).clockMs).toBeGreaterThanOrEqual(Date.UTC(2040, 0, 1))
  })

  test('reboots, and ends in order', async () => {
    await vm.reboot()
    expect(await vm.poweroff()).toMatchObject({ reason: 'poweroff' })
  })
})

test.each(BACKENDS)('a guest in %s that goes without its end mark fails', async (backend) => {
  await using vm = await boot({ backend, snapshot: backend === 'qemu', timeoutMs: 240_000 })
  const { exited } = vm
  await vm
    .runWith({ pid1: true }, async () => {
      const { reboot } = await import('@pkg/sys/reboot')
      const { LINUX_REBOOT_CMD_POWER_OFF } = await import('@pkg/sys/constants')
      reboot(LINUX_REBOOT_CMD_POWER_OFF)
    })
    .catch(() => {})
  expect((await exited).error).toBeInstanceOf(MissingEndMarkError)
})
