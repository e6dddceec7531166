// Guests restored from one saved machine: quick, and each one for itself.
import { expect, test } from 'vitest'
import { boot, type BootOptions } from '../../src/boot.ts'

const saved: BootOptions = { backend: 'qemu', snapshot: true, timeoutMs: 240_000 }

/** Runs in the guest: what every generator of random numbers there gives first. */
async function draw(): Promise<unknown[]> {
  const { randomBytes, randomInt } = await import('node:crypto')
  const { readFileSync } = await import('node:fs')
  const values = [...crypto.getRandomValues(new Uint8Array(16))].join()
  const kernel = readFileSync('/proc/sys/kernel/random/uuid', 'utf8')
  return [
    Math.random(),
    crypto.randomUUID(),
    values,
    randomBytes(16).toString('hex'),
    randomInt(2 ** 40),
    kernel,
  ]
}

test('restored guests have nothing random in common, in the agent or beside it, and the right time', async () => {
  const drawn: unknown[] = []
  for (let count = 0; count < 3; count++) {
    await using vm = await boot(saved)
    drawn.push(...(await vm.run(draw)), ...(await vm.runWith({ pid1: true }, draw)))
    expect(Math.abs((await vm.info()).clockMs - Date.now())).toBeLessThan(5_000)
    await vm.poweroff()
  }
  expect(new Set(drawn).size).toBe(drawn.length)
})

test('a guest that was prepared has what was prepared, and no more of its siblings', async () => {
  const prepared: BootOptions = {
    ...saved,
    snapshot: { key: 'a note', prepare: (vm) => vm.writeFile('/run/note', 'prepared') },
  }
  for (let count = 0; count < 2; count++) {
    await using vm = await boot(prepared)
    expect(await vm.readText('/run/note')).toBe('prepared')
    await expect(vm.readText('/run/own')).rejects.toMatchObject({ code: 'ENOENT' })
    await vm.writeFile('/run/own', 'mine')
    await vm.poweroff()
  }
})

test('a restored guest has disks and shares of its own, and reboots', async () => {
  await using vm = await boot({
    ...saved,
    disks: [{ name: 'late', sizeBytes: 1 << 20 }],
    shares: [{ host: import.meta.dirname, guest: '/tests' }],
  })
  expect(await vm.device('late')).toMatch(/^\/dev\/sd/)
  expect(await vm.readText('/tests/snapshot.vm.test.ts')).toContain('restored guests have nothing random')
  await vm.reboot()
  expect(await vm.readText('/tests/snapshot.vm.test.ts')).toContain('and reboots')
  await vm.poweroff()
})
