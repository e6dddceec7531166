// Guests with an arm64 processor on whatever host: Debian's kernel for it, Bun for it, the same agent.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { boot, type Vm } from '../../src/boot.ts'
import { GuestPanicError, UnsupportedError } from '../../src/errors.ts'
import { hostArchitecture } from '../../src/host/system.ts'
import { type Busybox, provideBusybox } from '../support/busybox.ts'

let busybox: Busybox
beforeAll(async () => {
  busybox = await provideBusybox('aarch64')
})
afterAll(() => busybox[Symbol.asyncDispose]())

describe("boot({ architecture: 'aarch64' })", () => {
  let vm: Vm
  beforeAll(async () => {
    vm = await boot({
      architecture: 'aarch64',
      shares: [
        { host: busybox.folder, guest: '/tools' },
        { host: import.meta.dirname, guest: '/tests' },
      ],
      disks: [{ name: 'data', sizeBytes: 8 << 20 }],
      timeoutMs: 240_000,
    })
  })
  afterAll(() => vm[Symbol.asyncDispose]())

  test('is brought up without a problem', async () => {
    expect(await vm.hello({ timeoutMs: 1_000 })).toMatchObject({
      pid: 1,
      architecture: 'aarch64',
      release: expect.stringMatching(/-arm64$/),
      bootProblems: [],
    })
  })

  test('runs programs', async () => {
    expect((await vm.exec('/tools/busybox', ['uname', '-m'])).stdout).toBe('aarch64\n')
    expect(await vm.exec('/tools/busybox', ['sh', '-c', 'exit 7'], { check: false })).toMatchObject({
      code: 7,
    })
    expect((await vm.exec('/tools/busybox', ['wc', '-c'], { input: 'x'.repeat(200_000) })).stdout).toBe(
      '200000\n',
    )
  })

  test('runs functions, with system calls of its own numbers', async () => {
    const told = await vm.run(async () => {
      const { uname, sethostname } = await import('@pkg/sys/system')
      sethostname('arm')
      return [process.arch, uname().machine, uname().nodename]
    })
    expect(told).toEqual(['arm64', 'aarch64', 'arm'])
  })

  test('runs functions long enough that they are compiled to machine code', async () => {
    const sum = (count: number): number => {
      let total = 0
      for (let number = 1; number <= count; number++) total = (total * 31 + number) % 1_000_003
      return total
    }
    expect(await vm.run(sum, 3_000_000)).toBe(sum(3_000_000))
  })

  test('starts programs from a function', async () => {
    const status = await vm.run(async () => {
      const { spawn } = await import('@pkg/sys/spawn')
      const child = spawn({ file: '/tools/busybox', args: ['sh', '-c', 'exit 42'], env: {} })
      const { code } = await child.wait()
      child[Symbol.dispose]()
      return code
    })
    expect(status).toBe(42)
  })

  test('has files, shares and disks', async () => {
    await vm.writeFile('/tmp/note', 'inside')
    expect(await vm.readText('/tmp/note')).toBe('inside')
    expect(await vm.readText('/tests/arm64.vm.test.ts')).toContain('has files, shares and disks')
    const disk = await vm.device('data')
    const script = 'echo kept > $0 && sync && head -c 4 $0'
    expect((await vm.exec('/tools/busybox', ['sh', '-c', script, disk])).stdout).toBe('kept')
  })

  test('reboots, and ends in order', async () => {
    const before = await vm.hello({ timeoutMs: 1_000 })
    expect((await vm.reboot()).bootId).not.toBe(before.bootId)
    const [disk, share] = [await vm.device('data'), '/tools/busybox']
    expect((await vm.exec(share, ['head', '-c', '4', disk])).stdout).toBe('kept')
    expect(await vm.poweroff()).toMatchObject({ reason: 'poweroff' })
  })
})

test('an arm64 guest is saved and restored', async () => {
  for (let count = 0; count < 2; count++) {
    await using vm = await boot({ architecture: 'aarch64', snapshot: true, timeoutMs: 240_000 })
    expect(await vm.run(() => process.arch)).toBe('arm64')
    await vm.poweroff()
  }
})

test("an arm64 guest's panic is told", async () => {
  await using vm = await boot({ architecture: 'aarch64', snapshot: true, timeoutMs: 240_000 })
  await vm.writeFile('/proc/sysrq-trigger', 'c').catch(() => {})
  expect((await vm.exited).error).toBeInstanceOf(GuestPanicError)
})

test("programs of the host are not for another processor: root: 'host' is refused", async () => {
  const other = hostArchitecture() === 'x86_64' ? 'aarch64' : 'x86_64'
  const refusal = boot({ architecture: other, root: 'host' })
  await expect(refusal).rejects.toBeInstanceOf(UnsupportedError)
  await expect(refusal).rejects.toThrow(/root: the host's programs are for another processor/)
})
