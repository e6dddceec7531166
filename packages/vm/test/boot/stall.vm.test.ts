// A machine without any clock but the counter of its processor: told how fast that runs it boots, untold it waits for
// ever, which is seen from outside.
import { expect, test } from 'vitest'
import { boot } from '../../src/boot.ts'
import { BootStalledError, watchBoot } from '../../src/boot/stall.ts'
import { debianKernel } from '../../src/guest-kernel.ts'
import { cacheFolder } from '../../src/host/cache.ts'
import { directKernel } from '../../src/kernel/direct.ts'
import { startQemu } from '../../src/qemu.ts'

test('a microvm boots, and keeps the time', async () => {
  await using vm = await boot({ machine: 'microvm', accelerator: 'tcg', timeoutMs: 240_000 })
  expect(await vm.readText('/proc/cmdline')).toMatch(/ tsc_early_khz=\d{6,8} /)
  const asked = async (): Promise<{ beforeMs: number; guestMs: number; afterMs: number }> => {
    const beforeMs = performance.now()
    const { clockMs: guestMs } = await vm.info()
    return { beforeMs, guestMs, afterMs: performance.now() }
  }
  const first = await asked()
  await new Promise((resolve) => setTimeout(resolve, 2_000))
  const second = await asked()
  const passedMs = second.guestMs - first.guestMs
  // Between the two questions and the two answers, however long a busy host takes for them; and a guest that had no
  // processor for a while has lost some ticks, and may make up for others. A frequency that was mistaken is further off.
  expect(passedMs).toBeGreaterThan((second.beforeMs - first.afterMs) / 2)
  expect(passedMs).toBeLessThan((second.afterMs - first.beforeMs) * 1.5)
  await vm.poweroff()
})

test('watchBoot() sees a kernel that waits for a clock which it does not have', async () => {
  const { image } = await debianKernel()
  await using vm = await startQemu({
    kernel: await directKernel(image, cacheFolder()),
    machine: 'microvm',
    accelerator: 'tcg',
    // The last word counts: the kernel is to find out by itself, which without the old timer it never can; with it
    // two of six such boots hung (QEMU 7.2, TCG, a busy host), and of those that were told none of thirty.
    qemuArguments: ['-machine', 'pit=off'],
    append: 'earlyprintk=ttyS0 tsc_early_khz=0',
    timeoutMs: 240_000,
  })
  await vm.console.waitFor(/APIC: Switch to symmetric I\/O mode|could not calculate TSC/)
  const over = AbortSignal.timeout(60_000)
  const error = await watchBoot(vm, over, { stallMs: 3_000 }).catch((cause: unknown) => cause)
  expect(error).toBeInstanceOf(BootStalledError)
  expect(error).toMatchObject({ console: expect.stringMatching(/could not calculate TSC khz/) })
})
