// Disks that fail and ports that lead into the guest, as programs in it and beside it see them.
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { boot, type Vm } from '../../src/boot.ts'
import type { Disk } from '../../src/qemu.ts'

const MIB = 1_048_576

let vm: Vm
beforeAll(async () => {
  vm = await boot({
    backend: 'qemu',
    snapshot: true,
    root: 'host',
    disks: [{ name: 'data', sizeBytes: 8 * MIB }],
    networks: [{ kind: 'user', forwards: [{ hostPort: 0, guestPort: 7, protocol: 'udp' }] }],
    timeoutMs: 240_000,
  })
})
afterAll(() => vm[Symbol.asyncDispose]())

/** Runs in the guest: writes to the device and has it reach the disk; the error's code, or how long it took. */
async function writeThrough(device: string, sizeBytes: number): Promise<string | number> {
  const { closeSync, fsyncSync, openSync, writeSync } = await import('node:fs')
  const fd = openSync(device, 'r+')
  const startMs = performance.now()
  try {
    writeSync(fd, new Uint8Array(sizeBytes).fill(7))
    fsyncSync(fd)
    return performance.now() - startMs
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? String(error)
  } finally {
    closeSync(fd)
  }
}

describe('a disk of boot()', () => {
  let disk: Disk
  let device: string
  beforeAll(async () => {
    const [first] = vm.qemu?.disks ?? []
    if (first === undefined) throw new Error('the guest has no disk')
    disk = first
    device = await vm.device('data')
  })

  // Through the page cache a device tells every failure as EIO.
  const writeDirectly = () =>
    vm.exec('dd', ['if=/dev/zero', `of=${device}`, 'bs=4096', 'count=1', 'oflag=direct'], { check: false })

  test.each([
    ['EIO', 'Input/output error'],
    ['ENOSPC', 'No space left on device'],
  ] as const)('fails with %s where it was told to, and heals', async (error, words) => {
    await disk.fail([{ on: 'write', error }])
    expect(await writeDirectly()).toMatchObject({ code: 1, stderr: expect.stringContaining(words) })
    await disk.fail([])
    expect(await writeDirectly()).toMatchObject({ code: 0 })
  })

  test('is as slow as it was told to be', async () => {
    await disk.throttle({ bytesPerSecond: MIB })
    // The first second may pass at once: QEMU's bucket is full at the start.
    expect(await vm.run(writeThrough, device, 3 * MIB)).toBeGreaterThan(1_500)
    await disk.throttle({})
  })

  test('reaches the programs of the guest as the error that it is: mkfs cannot write, and says so', async () => {
    await disk.fail([{ on: 'write' }])
    const { code, stderr } = await vm.exec('mkfs.ext4', ['-q', device], { check: false })
    expect(code).not.toBe(0)
    expect(stderr).toContain('Input/output error')
    await disk.fail([])
  })
})

test('a UDP port of the host leads into the guest, and answers come back', async () => {
  await vm.exec('ip', ['address', 'add', '10.0.2.15/24', 'dev', 'eth0'])
  await vm.exec('ip', ['link', 'set', 'eth0', 'up'])
  const served = vm.run(async () => {
    const { createSocket: create } = await import('node:dgram')
    const socket = create('udp4')
    return new Promise<string>((resolve) => {
      socket.on('message', (message, { address, port }) => {
        socket.send(`you said ${message.toString()}`, port, address, () => {
          socket.close()
          resolve(message.toString())
        })
      })
      socket.bind(7)
    })
  })
  const [forward] = vm.forwards
  expect(forward).toMatchObject({ guestPort: 7, protocol: 'udp' })
  const client = createSocket('udp4')
  // A datagram may come before the guest listens, and is lost then.
  const ask = setInterval(() => client.send('hello', forward?.hostPort ?? 0, '127.0.0.1'), 200)
  const [answer] = (await once(client, 'message')) as [Buffer]
  clearInterval(ask)
  client.close()
  expect(String(answer)).toBe('you said hello')
  expect(await served).toBe('hello')
})
