// The kernel of a guest asks for what it lacks, and gets it from the image.
import { expect, test } from 'vitest'
import { boot, type BootOptions, type Vm } from '../../src/boot.ts'

/** Mounts `device` without a word of the module that it needs. */
async function mountAndWrite(vm: Vm, device: string, type: string): Promise<string> {
  await vm.run(
    async (source, fileSystem) => {
      const { mkdirSync } = await import('node:fs')
      const { mount } = await import('@pkg/sys/mount')
      mkdirSync('/mnt/disk', { recursive: true })
      mount(source, '/mnt/disk', fileSystem)
    },
    device,
    type,
  )
  await vm.writeFile('/mnt/disk/note', 'written')
  return vm.readText('/mnt/disk/note')
}

test.each(['qemu', 'uml'] as const)(
  "in %s a mount loads its file system's module by itself",
  async (backend) => {
    const disks: BootOptions['disks'] = [{ name: 'data', sizeBytes: 64 << 20 }]
    await using vm = await boot({ backend, root: 'host', disks, timeoutMs: 240_000 })
    expect(await vm.readText('/proc/modules')).not.toMatch(/^vfat /m)
    const disk = await vm.device('data')
    await vm.exec('mkfs.vfat', [disk])
    expect(await mountAndWrite(vm, disk, 'vfat')).toBe('written')
    expect(await vm.readText('/proc/modules')).toMatch(/^vfat /m)
    await vm.poweroff()
  },
)

test('modprobe loads by name with parameters, and says what it does not know', async () => {
  await using vm = await boot({ backend: 'qemu', snapshot: true, timeoutMs: 240_000 })
  await vm.exec('modprobe', ['dummy', 'numdummies=3'])
  expect(
    await vm.run(async () => (await import('node:fs')).readdirSync('/sys/class/net').toSorted()),
  ).toEqual(expect.arrayContaining(['dummy0', 'dummy1', 'dummy2']))
  const missing = await vm.exec('modprobe', ['no-such-module'], { check: false })
  expect(missing).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('no-such-module: no such module'),
  })
  expect(await vm.exec('modprobe', ['-q', 'no-such-module'], { check: false })).toMatchObject({
    code: 1,
    stderr: '',
  })
  await vm.poweroff()
})
