// Memory pressure: a balloon takes the guest's memory away and gives it back.
import { expect, test } from 'vitest'
import { boot } from '../../src/boot.ts'

test('boot() with a balloon leaves the guest as much memory as is asked for', async () => {
  await using vm = await boot({ backend: 'qemu', balloon: true, memoryMiB: 384, timeoutMs: 240_000 })
  const totalBytes = async (): Promise<number> => (await vm.info()).memory.totalBytes
  const before = await totalBytes()
  await vm.qemu?.setMemory(256)
  await expect.poll(totalBytes).toBeLessThan(before - (64 << 20))
  await vm.qemu?.setMemory(384)
  await expect.poll(totalBytes).toBe(before)
  await vm.poweroff()
})
