// Ten tests of one machine: file systems, a module, the clock, and a reboot in the middle. They run on the host like
// any others, and drive the machine from outside: so they can go on when it has rebooted.
import { boot, type Vm } from '@pkg/vm'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

const YEAR_2030_MS = Date.UTC(2030, 0, 1)

/** Runs in the guest: what it needs it imports there, or is given. */
async function mountAt(target: string, type: string, source: string, options: string): Promise<void> {
  const { mkdirSync } = await import('node:fs')
  const { mount } = await import('@pkg/sys/mount')
  mkdirSync(target, { recursive: true })
  mount(source, target, type, 0, options)
}

describe('a machine of its own', () => {
  let vm: Vm
  beforeAll(async () => {
    vm = await boot({
      backend: 'qemu',
      snapshot: true,
      root: 'host',
      modules: ['dummy', 'ext4'],
      disks: [{ name: 'data', sizeBytes: 32 << 20 }],
      timeoutMs: 300_000,
    })
  })
  afterAll(() => vm[Symbol.asyncDispose]())

  test('runs a Linux of its own', async () => {
    const { stdout } = await vm.exec('uname', ['-r'])
    expect(stdout).toMatch(/^\d+\.\d+/)
    expect(await vm.run(() => process.pid)).not.toBe(process.pid)
  })

  test('mounts a tmpfs', async () => {
    await vm.run(mountAt, '/mnt/memory', 'tmpfs', 'tmpfs', 'size=1M')
    const { mounts } = await vm.info()
    expect(mounts.find(({ target }) => target === '/mnt/memory')).toMatchObject({ type: 'tmpfs' })
  })

  test('fills it, and the error has its code', async () => {
    const filled = vm.writeFile('/mnt/memory/file', new Uint8Array(2 << 20))
    await expect(filled).rejects.toMatchObject({ code: 'ENOSPC' })
  })

  test('makes a file system on its disk, with a program of the host', async () => {
    const disk = await vm.device('data')
    await vm.exec('mkfs.ext4', ['-q', disk])
    await vm.run(mountAt, '/mnt/data', 'ext4', disk, '')
    await vm.writeFile('/mnt/data/note', 'kept')
  })

  test('has loaded a module', async () => {
    expect(await vm.readText('/proc/modules')).toMatch(/^dummy /m)
  })

  test('unloads it', async () => {
    await vm.run(async () => (await import('@pkg/sys/module')).delete_module('dummy', 0))
    expect(await vm.readText('/proc/modules')).not.toMatch(/^dummy /m)
  })

  test('sets its clock, and not ours', async () => {
    await vm.setClock(YEAR_2030_MS)
    expect((await vm.info()).clockMs).toBeGreaterThanOrEqual(YEAR_2030_MS)
    expect(Date.now()).toBeLessThan(YEAR_2030_MS)
  })

  test('reboots', async () => {
    const before = await vm.hello({ timeoutMs: 1_000 })
    const after = await vm.reboot()
    expect(after.bootId).not.toBe(before.bootId)
  })

  test('has forgotten its memory', async () => {
    const { mounts } = await vm.info()
    expect(mounts.some(({ target }) => target === '/mnt/memory')).toBe(false)
  })

  test('has its disk as it left it', async () => {
    await vm.run(mountAt, '/mnt/data', 'ext4', await vm.device('data'), '')
    expect(await vm.readText('/mnt/data/note')).toBe('kept')
  })
})
