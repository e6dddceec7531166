import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Duplex } from 'node:stream'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { privateNetwork } from '../src/network.ts'
import { saveSnapshot, SnapshotError, startQemu, type QemuMachine, type QemuOptions } from '../src/qemu.ts'
import type { LinuxGuest } from './linux-guest.ts'
import { ask, shellGuest } from './shell-guest.ts'

const MIB = 1_048_576
let guest: LinuxGuest
let folder: string

beforeAll(async () => {
  guest = await shellGuest()
  folder = mkdtempSync(join(tmpdir(), 'solo-vm-test-'))
  writeFileSync(join(folder, 'root.img'), Buffer.alloc(MIB, 'root'))
})
afterAll(() => {
  guest[Symbol.dispose]()
  rmSync(folder, { recursive: true })
})

const start = (options: Partial<QemuOptions> = {}): Promise<QemuMachine> =>
  startQemu({ ...guest, memoryMiB: 128, networks: [], timeoutMs: 240_000, ...options })

async function ready(options: Partial<QemuOptions> = {}): Promise<QemuMachine> {
  const vm = await start(options)
  await vm.console.waitFor(/shell: ready/)
  return vm
}

describe('a machine with everything', () => {
  let vm: QemuMachine
  let control: Duplex
  const resets: string[] = []
  beforeAll(async () => {
    vm = await ready({
      rootImage: join(folder, 'root.img'),
      shares: [{ tag: 'work', host: folder }],
      disks: [{ name: 'first', sizeBytes: 8 * MIB }],
      networks: [{ kind: 'user', capture: join(folder, 'user.pcap') }],
      balloon: true,
      gdb: true,
      onReboot: 'restart',
      onReset: (cause) => resets.push(cause),
      onControl: (stream) => (control = stream),
    })
  })
  afterAll(() => vm[Symbol.asyncDispose]())

  test('the agent has a stream of its own', async () => {
    const heard = new Promise<string>((resolve) =>
      control.once('data', (bytes: Buffer) => resolve(bytes.toString())),
    )
    expect(await ask(vm, 'cat /sys/class/virtio-ports/vport*/name')).toBe('solo.control')
    control.write('question\n')
    await ask(vm, 'port=$(ls /dev/vport*); read -r word < $port; echo "answer to $word" > $port')
    expect(await heard).toBe('answer to question\n')
  })

  test('the root image is the first disk, and cannot be written', async () => {
    expect(await ask(vm, 'dd if=/dev/vda bs=8 count=1 2>/dev/null')).toBe('rootroot')
    expect(await ask(vm, 'cat /sys/block/vda/ro')).toBe('1')
  })

  test('a disk keeps what it has while it is pulled out', async () => {
    const [disk] = vm.disks
    expect(await ask(vm, 'echo kept > /dev/sda; sync; tail -c 5 /sys/block/sda/device/vpd_pg80')).toBe(
      'first',
    )
    await disk?.unplug()
    await expect.poll(() => ask(vm, 'ls /sys/block/ | grep -c sd')).toBe('0 status 1')
    await disk?.plug()
    await expect.poll(() => ask(vm, 'ls /sys/block/ | grep sd')).toMatch(/^sd[a-z]$/)
    expect(await ask(vm, 'head -c 4 /dev/$(ls /sys/block | grep sd)')).toBe('kept')
    const ours = new RegExp(`^solo-guest-\\d+-${process.pid}-`)
    expect(readdirSync(tmpdir()).filter((name) => ours.test(name))).toEqual([])
  })

  test('a disk fails as it is told to, and heals', async () => {
    const disk = await vm.addDisk({ name: 'bad', sizeBytes: 4 * MIB })
    await expect.poll(() => ask(vm, 'ls /sys/block/ | grep -c sd')).toBe('2')
    const device = await ask(
      vm,
      'for d in /sys/block/sd*; do grep -q bad $d/device/vpd_pg80 && echo /dev/${d##*/}; done; true',
    )
    const write = `dd if=/dev/zero of=${device} bs=4096 count=1 conv=fsync 2>&1 | grep -o "[IN]\\S*.*error\\|No space.*\\|critical.*"`
    await disk.fail([{ on: 'write' }])
    expect(await ask(vm, write)).toContain('I/O error')
    await disk.fail([])
    expect(await ask(vm, write)).toBe('status 1')
  })

  test('a disk is as slow as it is told to be', async () => {
    const disk = vm.disks.find(({ name }) => name === 'first')
    await disk?.throttle({ bytesPerSecond: MIB })
    const device = await ask(
      vm,
      'for d in /sys/block/sd*; do grep -q first $d/device/vpd_pg80 && echo /dev/${d##*/}; done; true',
    )
    const startedMs = performance.now()
    await ask(vm, `dd if=/dev/zero of=${device} bs=1M count=3 conv=fsync 2>/dev/null`)
    expect(performance.now() - startedMs).toBeGreaterThan(1_000)
    await disk?.throttle({})
  })

  test('an image stays as it is, whatever the guest writes', async () => {
    const file = join(folder, 'image.raw')
    writeFileSync(file, Buffer.alloc(2 * MIB, 'a'))
    const disk = await vm.addDisk({ name: 'image', file })
    expect(disk.sizeBytes).toBe(2 * MIB)
    await expect.poll(() => ask(vm, 'ls /sys/block/ | grep -c sd')).toBe('3')
    const device = await ask(
      vm,
      'for d in /sys/block/sd*; do grep -q image $d/device/vpd_pg80 && echo /dev/${d##*/}; done; true',
    )
    expect(await ask(vm, `head -c 4 ${device}; echo bbbb > ${device}; sync; head -c 4 ${device}`)).toBe(
      'aaaabbbb',
    )
    expect(readFileSync(file, 'latin1').includes('b')).toBe(false)
  })

  test('the cable can be pulled, and packets are captured', async () => {
    await ask(vm, 'ip link set eth0 up; ip address add 10.0.2.15/24 dev eth0; ping -c 1 -W 1 10.0.2.2')
    await vm.networks[0]?.setLink(false)
    await expect.poll(() => ask(vm, 'cat /sys/class/net/eth0/carrier')).toBe('0')
    await vm.networks[0]?.setLink(true)
    await expect.poll(() => ask(vm, 'cat /sys/class/net/eth0/carrier')).toBe('1')
    // The magic number of pcap, in the host's byte order.
    expect(readFileSync(join(folder, 'user.pcap')).readUInt32LE(0)).toBe(0xa1b2c3d4)
    expect(statSync(join(folder, 'user.pcap')).size).toBeGreaterThan(60)
  })

  test('the balloon takes memory and gives it back', async () => {
    const totalKiB = async (): Promise<number> =>
      Number(await ask(vm, "awk '/MemTotal/{print $2}' /proc/meminfo"))
    const before = await totalKiB()
    await vm.setMemory(96)
    await expect.poll(totalKiB).toBeLessThan(before - 20_000)
    await vm.setMemory(128)
    await expect.poll(totalKiB).toBe(before)
  })

  test('pause() stops it and resume() lets it go on', async () => {
    await vm.pause()
    expect(await vm.qmp.queryStatus()).toEqual({ running: false, status: 'paused' })
    await vm.resume()
    expect(await ask(vm, 'echo alive')).toBe('alive')
  })

  test('a debugger finds its port', async () => {
    expect(vm.gdb).toMatchObject({ waiting: false, port: expect.any(Number) })
  })

  test('reset() begins anew, with the disks in place', async () => {
    const from = vm.console.position
    await vm.reset()
    await vm.console.waitFor(/shell: ready/, { from })
    expect(resets).toEqual(['host-qmp-system-reset'])
    await expect.poll(() => ask(vm, 'ls /sys/block/ | grep -c sd')).toBe('3')
  })

  test('a panic ends it although reboots do not', async () => {
    await ask(vm, 'echo 1 > /proc/sys/kernel/unknown_nmi_panic')
    await vm.nmi()
    expect(await vm.exited).toMatchObject({ reason: 'panic', error: { name: 'GuestPanicError' } })
  })
})

describe('a snapshot', () => {
  const devices: Partial<QemuOptions> = {
    disks: [],
    onControl: () => {},
    shares: [{ tag: 'a', host: '/tmp' }],
  }
  let snapshot: string
  let bootMs: number
  beforeAll(async () => {
    snapshot = join(folder, "it's a $(snapshot)")
    const bootedMs = performance.now()
    await using vm = await ready({ ...devices, saveable: true })
    bootMs = performance.now() - bootedMs
    await ask(vm, 'word=remembered')
    const startedMs = performance.now()
    await saveSnapshot(vm, snapshot)
    process.stderr.write(`saved in ${Math.round(performance.now() - startedMs)} ms\n`)
    // The saved guest goes on, and what it does is not in the snapshot.
    expect(await ask(vm, 'echo $word; word=later')).toBe('remembered')
  })

  test('is restored in less time than it boots, as often as one likes', async () => {
    const takenMs: number[] = []
    for (let round = 0; round < 5; round++) {
      const startedMs = performance.now()
      {
        await using vm = await start({ ...devices, restore: snapshot })
        expect(await ask(vm, 'echo $word; word=changed')).toBe('remembered')
      }
      takenMs.push(performance.now() - startedMs)
    }
    process.stderr.write(`restored in ${takenMs.map(Math.round).join(', ')} ms\n`)
    expect(takenMs.toSorted((a, b) => a - b)[2]).toBeLessThan(bootMs)
  })

  test('takes disks after it is restored, and reboots', async () => {
    await using vm = await start({ ...devices, restore: snapshot, disks: [{ sizeBytes: MIB }] })
    await expect.poll(() => ask(vm, 'ls /sys/block | grep sd')).toBe('sda')
    const from = vm.console.position
    await vm.reset()
    await vm.console.waitFor(/shell: ready/, { from })
    expect(await ask(vm, 'echo "<$word>"')).toBe('<>')
  })

  test('of other hardware, or of none, is a SnapshotError', async () => {
    const other = start({ ...devices, restore: snapshot, memoryMiB: 256 })
    await expect(other).rejects.toThrow(/is of other hardware: it has 128M where this machine has 256M/)
    await expect(start({ restore: join(folder, 'nothing') })).rejects.toThrow(SnapshotError)
    expect(readdirSync(folder).filter((name) => name.endsWith('.tmp'))).toEqual([])
  })

  test('of a guest with a disk is refused, and leaves nothing', async () => {
    await using vm = await start({ ...devices, disks: [{ sizeBytes: MIB }], saveable: true })
    await expect(saveSnapshot(vm, join(folder, 'never'))).rejects.toThrow(/disk0 are plugged in/)
    expect(existsSync(join(folder, 'never'))).toBe(false)
  })
})

test('a microvm sees its disks and its card, and powers off', async () => {
  await using vm = await ready({
    machine: 'microvm',
    disks: [{ sizeBytes: MIB }],
    networks: [{ kind: 'user' }],
  })
  await vm.console.waitFor(/shell: ready/, { timeoutMs: 20_000 })
  expect(await ask(vm, 'ls /sys/block | grep sd; ls /sys/class/net | grep eth')).toBe('sda\neth0')
  vm.console.write('poweroff -f\n')
  expect(await vm.waitForPoweroff()).toMatchObject({ reason: 'poweroff' })
})

test('two guests meet on a private network', async () => {
  using network = privateNetwork()
  const card = { kind: 'private', network } as const
  await using one = await ready({ networks: [card] })
  await using two = await ready({ networks: [card] })
  for (const [index, vm] of [one, two].entries())
    await ask(vm, `ip link set eth0 up; ip address add 10.9.0.${index + 1}/24 dev eth0`)
  expect(await ask(one, 'ping -c 1 -W 5 10.9.0.2 | grep -c "1 packets received"')).toBe('1')
})

test('a process killed for memory ends a guest that is to fail on it', async () => {
  await using vm = await ready({ failOn: { oom: true } })
  vm.console.write('tail /dev/zero\n')
  expect(await vm.exited).toMatchObject({ reason: 'oom', error: { name: 'GuestOutOfMemoryError' } })
})
