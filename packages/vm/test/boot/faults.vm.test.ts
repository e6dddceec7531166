// What goes wrong in a guest has a name, within its limit. The kernel is broken on purpose, by a debugger.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { boot, type BootOptions, type Vm } from '../../src/boot.ts'
import { GuestHungError, GuestTimeoutError } from '../../src/errors.ts'
import { GuestLockupError } from '../../src/kernel-log.ts'
import { debug, kernelAddress } from '../support/debugger.ts'
import { type StaticInit, staticInit } from '../support/static-init.ts'

/** Whoever calls getppid(2) in such a guest stays in its kernel for ever. */
async function breakKernel(vm: Vm, code: readonly number[]): Promise<void> {
  const address = await kernelAddress(vm, '__x64_sys_getppid')
  const bytes = code.map((byte) => `0x${byte.toString(16)}`)
  await debug(vm.gdb?.port ?? 0, [`set {unsigned char[${code.length}]} ${address} = {${bytes.join(', ')}}`])
}

/** Ends with the guest. */
async function callGetppid(vm: Vm): Promise<unknown> {
  return vm.run(async () => (await import('@pkg/sys/process')).getppid()).catch((error: unknown) => error)
}

const debugged: BootOptions = { backend: 'qemu', snapshot: true, cpus: 1, gdb: true, timeoutMs: 240_000 }
const [CLI, JUMP_TO_ITSELF] = [[0xfa], [0xeb, 0xfe]]

test('gdb reads the banner of the kernel', async () => {
  await using vm = await boot(debugged)
  const banner = await debug(vm.gdb?.port ?? 0, [`x/s ${await kernelAddress(vm, 'linux_banner')}`])
  expect(banner).toContain(`Linux version ${(await vm.info()).release}`)
  await vm.poweroff()
})

test('a guest that hangs with interrupts off is told by its silence, with what its processor does', async () => {
  await using vm = await boot({ ...debugged, hangTimeoutMs: 3_000 })
  await breakKernel(vm, [...CLI, ...JUMP_TO_ITSELF])
  const address = await kernelAddress(vm, '__x64_sys_getppid')
  const error = await callGetppid(vm)
  expect(error).toBeInstanceOf(GuestHungError)
  // It stands at the jump, one byte after the beginning.
  expect(String(error)).toContain(`cpu 0: running, interrupts off at ${(BigInt(address) + 1n).toString(16)}`)
})

test('a kernel that stays in a loop is a soft lock-up', async () => {
  await using vm = await boot(debugged)
  // A lock-up is told after twice this, in seconds.
  await vm.writeFile('/proc/sys/kernel/watchdog_thresh', '2')
  await breakKernel(vm, JUMP_TO_ITSELF)
  const error = await callGetppid(vm)
  expect(error).toBeInstanceOf(GuestLockupError)
  expect(String(error)).toMatch(/soft lockup - CPU#0 stuck for \d+s! \[bun/)
})

describe('a guest that never prints', () => {
  let program: StaticInit
  beforeAll(() => {
    program = staticInit()
  })
  afterAll(() => program[Symbol.dispose]())

  test.each(['namespace', 'qemu'] as const)('is told in %s by the limit of silence', async (backend) => {
    await using vm = await boot({
      backend,
      init: [program.path, 'silence'],
      silenceTimeoutMs: backend === 'qemu' ? 8_000 : 500,
      timeoutMs: 60_000,
      ...(backend === 'qemu' ? { append: 'loglevel=0' } : {}),
    })
    const { error } = await vm.exited
    expect(error).toBeInstanceOf(GuestTimeoutError)
    expect(String(error)).toContain('it has printed nothing at all')
  })
})

test("gdb: 'wait' tells where before the guest runs, and lets it go", async () => {
  let firstInstruction: Promise<string> | undefined
  await using vm = await boot({
    backend: 'qemu',
    gdb: 'wait',
    onGdb: ({ port, waiting }) => {
      expect(waiting).toBe(true)
      firstInstruction = debug(port, ['print/x $pc'])
    },
    timeoutMs: 240_000,
  })
  // The reset vector (Intel SDM vol. 3, 10.1.4).
  expect(await firstInstruction).toContain('= 0xfff0')
  await vm.poweroff()
})
