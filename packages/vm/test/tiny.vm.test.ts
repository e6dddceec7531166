import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import {
  GuestEndedError,
  GuestPanicError,
  GuestTimeoutError,
  QemuCrashedError,
  QemuStartError,
} from '../src/errors.ts'
import { accelerator, probe } from '../src/kvm.ts'
import { startQemu, type QemuMachine, type QemuOptions } from '../src/qemu.ts'
import { flood, hang, powerOff, print, readByte, reset, tinyGuest } from './tiny-guest.ts'

async function bootTiny(path: string, options: Partial<QemuOptions> = {}): Promise<QemuMachine> {
  return startQemu({
    kernel: path,
    memoryMiB: 32,
    networks: [],
    accelerator: 'tcg',
    timeoutMs: 30_000,
    ...options,
  })
}

/** Whether a process is there (a zombie is not). */
function lives(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch {
    return false
  }
}

describe('how a guest ends', () => {
  test('a power-off is told as such, with the text printed before', async () => {
    using guest = tinyGuest([...print('bye\r\n'), ...powerOff, ...hang])
    await using vm = await bootTiny(guest.path)
    expect(await vm.waitForPoweroff()).toEqual({ reason: 'poweroff', code: 0, signal: null, stderr: '' })
    expect(vm.console.text).toBe('bye\n')
  })

  test('a reset is a reboot, and an error for whoever wanted a power-off', async () => {
    using guest = tinyGuest(reset)
    await using vm = await bootTiny(guest.path)
    await expect(vm.waitForPoweroff()).rejects.toThrow(GuestEndedError)
    expect(await vm.exited).toMatchObject({ reason: 'reboot', code: 0 })
  })

  test('kill() is told as killed', async () => {
    using guest = tinyGuest(hang)
    await using vm = await bootTiny(guest.path)
    expect(await vm.kill()).toMatchObject({ reason: 'killed', signal: 'SIGKILL' })
    expect(lives(vm.pid)).toBe(false)
  })

  test("anybody's SIGTERM to QEMU is told as killed", async () => {
    using guest = tinyGuest(hang)
    await using vm = await bootTiny(guest.path)
    process.kill(vm.pid, 'SIGTERM')
    expect(await vm.exited).toMatchObject({ reason: 'killed', code: 0 })
  })

  test('a QEMU that aborts is a crash', async () => {
    using guest = tinyGuest([...print('last\n'), ...hang])
    await using vm = await bootTiny(guest.path)
    await vm.console.waitFor(/last/)
    process.kill(vm.pid, 'SIGABRT')
    const { reason, error } = await vm.exited
    expect(reason).toBe('crashed')
    expect(error).toBeInstanceOf(QemuCrashedError)
    expect(error?.console).toBe('last')
  })

  test("the kernel's words for a panic end a guest that only stands still after them", async () => {
    using guest = tinyGuest([...print('[    1.5] Kernel panic - not syncing: no root\r\n'), ...hang])
    await using vm = await bootTiny(guest.path)
    const error = await vm.waitForPoweroff().catch((reason: unknown) => reason)
    expect(error).toBeInstanceOf(GuestPanicError)
    expect(error).toMatchObject({ panic: 'no root' })
  })

  test('the same words in a line of a service are no panic', async () => {
    using guest = tinyGuest([
      ...print('[    1.5] web: Kernel panic - not syncing: no\n'),
      ...powerOff,
      ...hang,
    ])
    await using vm = await bootTiny(guest.path)
    await expect(vm.waitForPoweroff()).resolves.toMatchObject({ reason: 'poweroff' })
  })

  test('waitFor() rejects with the end of a guest that ended first', async () => {
    using guest = tinyGuest([...print('nothing more\n'), ...powerOff, ...hang])
    await using vm = await bootTiny(guest.path)
    await expect(vm.console.waitFor(/never/)).rejects.toThrow(/powered itself off[^]*nothing more/)
  })
})

describe('limits', () => {
  test('a guest that hangs with interrupts off is told with its CPUs and its last words', async () => {
    using guest = tinyGuest([...print('before\n'), ...hang])
    await using vm = await bootTiny(guest.path, { timeoutMs: 5_000 })
    const error = await vm.waitForPoweroff().catch((reason: unknown) => reason)
    expect(error).toBeInstanceOf(GuestTimeoutError)
    expect(error).toMatchObject({ kind: 'limit', timeoutMs: 5_000, console: 'before' })
    expect(String(error)).toMatch(/did not end within 5 s \(cpu 0: halted, interrupts off at 001000[0-9a-f]+/)
    expect(lives(vm.pid)).toBe(false)
  })

  test('a guest that never prints is told by the silence limit', async () => {
    using guest = tinyGuest(hang)
    await using vm = await bootTiny(guest.path, { silenceTimeoutMs: 500 })
    const error = await vm.console.waitFor(/anything/).catch((reason: unknown) => reason)
    expect(error).toMatchObject({ name: 'GuestTimeoutError', kind: 'silence', timeoutMs: 500 })
    expect(String(error)).toContain('printed nothing at all')
  })

  test('a guest that goes on printing is not silent, and its flood stays within the bound', async () => {
    using guest = tinyGuest(flood)
    const options = { silenceTimeoutMs: 2_000, timeoutMs: 4_000, consoleLimitChars: 1_000 }
    await using vm = await bootTiny(guest.path, options)
    expect((await vm.exited).error).toMatchObject({ kind: 'limit' })
    expect(vm.console.text).toBe('x'.repeat(1_000))
    expect(vm.console.droppedChars).toBeGreaterThan(10 * options.consoleLimitChars)
  })

  test('a host that does not read for a while stops nothing for good', async () => {
    using guest = tinyGuest(flood)
    await using vm = await bootTiny(guest.path, { silenceTimeoutMs: 3_000, timeoutMs: 200_000 })
    await vm.console.waitFor(/x/)
    // The socket's buffer is full after some milliseconds of this, and to us the guest seems silent.
    Bun.sleepSync(3_500)
    await vm.console.waitFor(/x/, { from: vm.console.position + 1_000_000, timeoutMs: 180_000 })
  })

  test('an aborted signal kills the guest', async () => {
    using guest = tinyGuest(hang)
    const controller = new AbortController()
    await using vm = await bootTiny(guest.path, { signal: controller.signal })
    controller.abort()
    expect(await vm.exited).toMatchObject({ reason: 'killed' })
  })
})

describe('disposal', () => {
  const panics = [...print('Kernel panic - not syncing: unseen\n'), ...reset]

  test('throws for a panic that nobody has looked at', async () => {
    using guest = tinyGuest(panics)
    const vm = await bootTiny(guest.path)
    await expect.poll(() => lives(vm.pid)).toBe(false)
    await expect(vm[Symbol.asyncDispose]()).rejects.toThrow(GuestPanicError)
  })

  test('does not throw a second time what waitFor() or exited have shown', async () => {
    using guest = tinyGuest(panics)
    const first = await bootTiny(guest.path)
    await expect(first.console.waitFor(/never/)).rejects.toThrow(GuestPanicError)
    await first[Symbol.asyncDispose]()
    const second = await bootTiny(guest.path)
    expect(await second.exited).toMatchObject({ reason: 'panic' })
    await second[Symbol.asyncDispose]()
  })

  test('leaves no process, no descriptor and no file, after success and after failure', async () => {
    using guest = tinyGuest(hang)
    const descriptors = (): number => readdirSync('/proc/self/fd').length
    const files = (): string[] => readdirSync(tmpdir()).filter((name) => name.includes('qemu'))
    const cycle = async (): Promise<void> => {
      await using vm = await bootTiny(guest.path, {
        networks: [{ kind: 'user', forwards: [{ hostPort: 0, guestPort: 80 }] }],
      })
      const failing = bootTiny(guest.path, { qemuArguments: ['-device', 'nonsense'] })
      await expect(failing).rejects.toThrow(/'nonsense' is not a valid device model name/)
      await expect(failing).rejects.toThrow(QemuStartError)
      expect(lives(vm.pid)).toBe(true)
    }
    await cycle()
    const before = { descriptors: descriptors(), files: files() }
    for (let round = 0; round < 3; round++) await cycle()
    // Fewer is fine: what the tests before had closed may have gone only now.
    await expect.poll(descriptors).toBeLessThanOrEqual(before.descriptors)
    expect(files()).toEqual(before.files)
    expect(childrenOf(process.pid)).toEqual([])
  })

  test('QEMU dies with a parent that is killed by SIGKILL', async () => {
    using guest = tinyGuest(hang)
    const script = join(import.meta.dirname, 'orphan-parent.ts')
    const env = { ...process.env, SOLO_ACCELERATOR: 'tcg' }
    const parent = spawn(process.execPath, [script, guest.path], {
      env,
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const pid = await new Promise<number>((resolve) => {
      parent.stdout.on('data', (text: Buffer) => resolve(Number(/qemu (\d+)/.exec(text.toString())?.[1])))
    })
    expect(readFileSync(`/proc/${pid}/comm`, 'utf8')).toContain('qemu')
    parent.kill('SIGKILL')
    await expect.poll(() => lives(pid)).toBe(false)
  })
})

describe('several guests', () => {
  test('two at a time have their own ports, consoles and ends', async () => {
    using first = tinyGuest([...print('first\n'), ...hang])
    using second = tinyGuest([...print('second\n'), ...hang])
    const options = { networks: [{ kind: 'user', forwards: [{ hostPort: 0, guestPort: 80 }] }] } as const
    await using one = await bootTiny(first.path, options)
    await using two = await bootTiny(second.path, options)
    await one.console.waitFor(/first/)
    await two.console.waitFor(/second/)
    const ports = [one, two].map((vm) => vm.forwards[0]?.hostPort ?? 0)
    expect(new Set(ports).size).toBe(2)
    for (const port of ports) await connects(port)
    await one.kill()
    expect(lives(two.pid)).toBe(true)
  })

  test('a port of the first is in use for the second', async () => {
    using guest = tinyGuest(hang)
    const forwards = [{ hostPort: 0, guestPort: 80 }]
    await using one = await bootTiny(guest.path, { networks: [{ kind: 'user', forwards }] })
    const again = bootTiny(guest.path, { networks: [{ kind: 'user', forwards: one.forwards }] })
    await expect(again).rejects.toMatchObject({ name: 'PortInUseError', port: one.forwards[0]?.hostPort })
    const untouched = await bootTiny(guest.path, {
      networks: [
        { kind: 'user', forwards: one.forwards.map(({ guestPort }) => ({ hostPort: 0, guestPort })) },
      ],
    })
    await untouched.kill()
  })
})

test('console.write() reaches the guest', async () => {
  using guest = tinyGuest([...print('?'), ...readByte, ...print('!'), ...powerOff, ...hang])
  await using vm = await bootTiny(guest.path)
  await vm.console.waitFor(/\?/)
  vm.console.write('y')
  await vm.waitForPoweroff()
  expect(vm.console.text).toBe('?!')
  expect(() => vm.console.write('z')).toThrow(GuestEndedError)
})

test('qmp tells the state of the machine', async () => {
  using guest = tinyGuest(hang)
  await using vm = await bootTiny(guest.path)
  expect(await vm.qmp.queryStatus()).toEqual({ running: true, status: 'running' })
  await vm.qmp.quit()
  expect(await vm.exited).toMatchObject({ reason: 'killed', code: 0 })
  await vm.powerdown()
})

test('probe() boots its tiny guest under TCG, and accelerator() is KVM just where it boots there too', async () => {
  const cacheFolder = mkdtempSync(join(tmpdir(), 'solo-vm-test-'))
  try {
    expect(await probe('tcg', { cacheFolder, timeoutMs: 30_000 })).toEqual({ works: true, reason: '' })
    const kvm = existsSync('/dev/kvm') && (await probe('kvm', { cacheFolder })).works
    expect(await accelerator({ cacheFolder })).toBe(kvm ? 'kvm' : 'tcg')
    expect(await accelerator({ cacheFolder })).toBe(kvm ? 'kvm' : 'tcg')
  } finally {
    rmSync(cacheFolder, { recursive: true })
  }
})

function childrenOf(pid: number): number[] {
  const text = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8')
  return text
    .split(' ')
    .filter((word) => word !== '')
    .map(Number)
}

async function connects(port: number): Promise<void> {
  const socket = connect({ port, host: '127.0.0.1' })
  await new Promise<void>((resolve, reject) => {
    socket.once('connect', () => resolve())
    socket.once('error', reject)
  })
  socket.destroy()
}
