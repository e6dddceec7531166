// Stage 1 before real kernels: roots that are there, late, wrong, damaged or nowhere, on all kinds of disks.
import { createHash } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { LINUX_REBOOT_CMD_POWER_OFF, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2 } from '@pkg/sys/constants'
import { Program } from '@pkg/sys/program'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { stage1Elf, watchdogFd } from '../src/stage1.ts'
import { testFolder } from './support/folder.ts'
import { flipped, largeFile, sealedRoot, type TestRoot, testRoot, writeDisk } from './support/sealed-root.ts'
import { diskArguments, type GuestOptions, stage1Guest } from './support/stage1-guest.ts'

/** PID 1 shows what it was given, reads a file whole, and ends the machine. */
const script = `
b=/bin/busybox
echo "pid $$ arguments $0 $*"
echo "variables $($b env | $b grep -v SHLVL | $b sort | $b tr '\\n' ' ')"
echo "root $($b grep ' / ' /proc/mounts | $b tail -n 1)"
echo "mounts $($b cut -d ' ' -f 2 /proc/mounts | $b sort | $b tr '\\n' ' ')"
echo "initramfs $($b ls -l /proc/self/fd/${watchdogFd} 2>&1 | $b sed 's/.*-> //')"
echo "parent $($b ls /sys/block/dm-0/slaves)"
if sum=$($b sha256sum /large); then echo "read $sum"; else echo "not read"; fi
echo finished
$b poweroff -f
`

const folder = testFolder()
afterAll(() => folder[Symbol.dispose]())
let root: TestRoot
beforeAll(async () => {
  root = await testRoot(script)
})

/** What the guest must have read. */
const digest = createHash('sha256').update(largeFile).digest('hex')

let count = 0
/** A file with a disk whose partitions begin with these bytes. */
function disk(...contents: Uint8Array[]): string {
  const file = join(folder.path, `disk${++count}`)
  writeDisk(file, contents)
  return file
}

const other = new Uint8Array(4096).fill(0xff)
const virtio = (...files: string[]): Pick<GuestOptions, 'qemu'> => ({
  qemu: { qemuArguments: files.flatMap((file, index) => diskArguments(file, 'virtio-blk-pci', index)) },
})

/** Boots to the end, and gives what was on the console. */
async function boot(
  options: Partial<GuestOptions>,
): Promise<{ text: string; reason: string; seconds: number }> {
  const begin = performance.now()
  await using machine = await stage1Guest({ root, ...options })
  const { reason } = await machine.exited
  return { text: machine.console.text, reason, seconds: (performance.now() - begin) / 1000 }
}

/** Lines of stage 1. */
const said = (text: string): string[] =>
  text
    .split('\n')
    .filter((line) => line.includes('solo stage 1:'))
    .map((line) => line.replace(/^.*?solo stage 1: /, ''))

describe('stage 1 with a root that is there', () => {
  test('executes PID 1 in it, under dm-verity, with its own arguments and environment and a watchdog', async () => {
    const { text, reason } = await boot({
      ...virtio(disk(other, root.bytes)),
      stage1: { watchdogSeconds: 60 },
    })
    expect(text).toContain('pid 1 arguments /start.sh \n')
    expect(text).toContain(`variables MARK=fixed PATH=/bin PWD=/ SOLO_WATCHDOG_FD=${watchdogFd} \n`)
    expect(text).toMatch(/root \/dev\/mapper\/root \/ erofs ro,/)
    expect(text).toContain('mounts / /dev /proc /sys \n')
    expect(text).toContain('initramfs /dev/watchdog\n')
    expect(text).toContain('parent vda2\n')
    expect(text).toContain(`read ${digest}  /large`)
    expect(said(text)).toEqual([])
    expect(reason).toBe('poweroff')
  })

  test('leaves no watchdog and no variable where none was asked for', async () => {
    const { text } = await boot(virtio(disk(root.bytes)))
    expect(text).toContain('variables MARK=fixed PATH=/bin PWD=/ \n')
    expect(text).toMatch(/initramfs .*No such file/)
  })

  test('finds it on a whole disk, and on a disk that comes two seconds late', async () => {
    const file = join(folder.path, 'whole')
    writeFileSync(file, root.bytes)
    await using machine = await stage1Guest({ root, qemu: { disks: [] } })
    await delay(4_000)
    await machine.addDisk({ file, readOnly: true })
    const { reason } = await machine.exited
    expect(machine.console.text).toContain('parent sda\n')
    expect(reason).toBe('poweroff')
  })

  test('goes on without a module that is not there, and says so', async () => {
    const program = { modules: ['/none.ko'] }
    const { text, reason } = await boot({ stage1: { ...program, deadlineMs: 1000 } })
    expect(said(text)[0]).toBe('cannot load /none.ko: ENOENT')
    expect(reason).toBe('reboot')
  })
})

describe('stage 1 with a damaged root', () => {
  const good = (): Uint8Array => root.bytes

  test('whose superblock is damaged takes the next one, whichever comes first, and says so', async () => {
    const damaged = flipped(good(), 1024 + 16)
    const first = await boot(virtio(disk(damaged, good())))
    expect(first.text).toContain('parent vda2\n')
    const second = await boot(virtio(disk(good(), damaged)))
    expect(second.text).toContain('parent vda1\n')
    expect([first.reason, second.reason]).toEqual(['poweroff', 'poweroff'])
    // The kernel lists devices in an order of its own: in one of the two the good one came first.
    const lines = [
      'found the root image on vda2; cannot mount it on vda1: EIO',
      'found the root image on vda1; cannot mount it on vda2: EIO',
    ]
    expect(lines).toEqual(expect.arrayContaining([...said(first.text), ...said(second.text)]))
    expect([...said(first.text), ...said(second.text)]).toHaveLength(1)
  })

  test('whose magic number or hash tree is damaged takes the one of another disk', async () => {
    const top = (root.verity.dataBlocks + 1) * 4096
    const damaged = [flipped(good(), 1024), flipped(good(), top)]
    const { text } = await boot(virtio(disk(...damaged), disk(other, other, good()), disk(...damaged)))
    expect(text).toContain('parent vdb3\n')
    for (const line of said(text)) {
      expect(line).toMatch(/^found the root image on vdb3; cannot mount it on vd[ac][12]: EIO$/)
    }
  })

  test('with a flipped bit in a file boots, and never serves that block: EIO', async () => {
    const at = Buffer.from(good()).lastIndexOf(Buffer.alloc(4096, 0x5a), root.verity.dataBlocks * 4096)
    const { text } = await boot(virtio(disk(flipped(good(), at))))
    expect(text).toContain("can't read '/large': Input/output error")
    expect(text).toContain('not read\nfinished')
    expect(text).toMatch(/device-mapper: verity: .*data block \d+ is corrupted/)
  })

  test('and no other says what was wrong with it, and reboots', async () => {
    const damaged = flipped(good(), 1024 + 20)
    const { text, reason } = await boot({ ...virtio(disk(damaged)), stage1: { deadlineMs: 2500 } })
    expect(said(text)).toEqual([
      `cannot find the root image ${root.imageId} within 2.5 s; cannot mount it on vda1: EIO; rebooting in 1 s`,
    ])
    expect(reason).toBe('reboot')
  })

  test('that has its id and other contents is not opened', async () => {
    const foreign = await testRoot('echo foreign\n/bin/busybox poweroff -f\n')
    const bytes = Uint8Array.from(foreign.bytes)
    bytes.set(Buffer.from(root.imageId.replaceAll('-', ''), 'hex'), 1024 + 48)
    const { text, reason } = await boot({ ...virtio(disk(bytes)), stage1: { deadlineMs: 1000 } })
    expect(said(text)[0]).toContain('; cannot mount it on vda1: EIO;')
    expect(text).not.toContain('foreign')
    expect(reason).toBe('reboot')
  })
})

describe('stage 1 without its root', () => {
  test('says so in one line and reboots after the time: no disk at all', async () => {
    const { text, reason, seconds } = await boot({ stage1: { deadlineMs: 2000, rebootDelayMs: 3000 } })
    expect(said(text)).toEqual([`cannot find the root image ${root.imageId} within 2 s; rebooting in 3 s`])
    expect(reason).toBe('reboot')
    expect(seconds).toBeGreaterThan(5)
  })

  test('says so when there is one with another id', async () => {
    const foreign = await testRoot('echo foreign\n/bin/busybox poweroff -f\n')
    const { text, reason } = await boot({ ...virtio(disk(foreign.bytes)), stage1: { deadlineMs: 1000 } })
    expect(said(text)).toEqual([`cannot find the root image ${root.imageId} within 1 s; rebooting in 1 s`])
    expect(reason).toBe('reboot')
  })

  test('says which step failed on what and why: PID 1 is missing', async () => {
    const { text, reason } = await boot({ ...virtio(disk(root.bytes)), stage1: { init: ['/bin/none'] } })
    expect(said(text)).toEqual(['cannot execute /bin/none: ENOENT; rebooting in 1 s'])
    expect(reason).toBe('reboot')
  })
})

describe("stage 1 on real machines' disks, with the generic kernel", () => {
  const real = (qemuArguments: string[]): Partial<GuestOptions> => ({
    ...{ flavour: 'generic', profile: 'all', qemu: { qemuArguments } },
  })

  test.each([
    ['NVMe', 'nvme0n1p2', (file: string) => diskArguments(file, 'nvme,serial=solo')],
    ['SATA', 'sda2', (file: string) => diskArguments(file, 'ide-hd,bus=ide.0')],
    ['USB', 'sda2', (file: string) => ['-device', 'qemu-xhci', ...diskArguments(file, 'usb-storage')]],
    ['MMC', 'mmcblk0p2', (file: string) => ['-device', 'sdhci-pci', ...diskArguments(file, 'sd-card')]],
  ])('finds it on %s', async (_name, partition, devices) => {
    const { text, reason } = await boot(real(devices(disk(other, root.bytes))))
    expect(text).toContain(`parent ${partition}\n`)
    expect(said(text)).toEqual([])
    expect(reason).toBe('poweroff')
  })

  test('arms a hardware watchdog, which resets a machine whose PID 1 hangs', async () => {
    const hanging = await testRoot('echo hanging\nwhile true; do /bin/busybox sleep 60; done\n')
    const file = disk(hanging.bytes)
    const options = real(['-device', 'i6300esb', ...diskArguments(file, 'virtio-blk-pci')])
    const { text, reason } = await boot({ ...options, root: hanging, stage1: { watchdogSeconds: 8 } })
    expect(text).toContain('hanging')
    expect(reason).toBe('reboot')
  })
})

describe('stage 1 on arm64', () => {
  /** PID 1 is a program of system calls too: it says a line and powers off. */
  const init = new Program()
  const line = 'arm64 root is up\n'
  init.call('write', 1, line, line.length)
  init.call('reboot', LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, LINUX_REBOOT_CMD_POWER_OFF, null)

  test('finds its root beside a damaged one, and executes PID 1 in it', async () => {
    const sealed = await sealedRoot({ '/init': stage1Elf(init, 'aarch64'), '/large': largeFile })
    const damaged = flipped(sealed.bytes, 1024 + 16)
    const { text, reason } = await boot({
      ...virtio(disk(damaged, sealed.bytes, damaged)),
      ...{ root: sealed, architecture: 'aarch64', stage1: { init: ['/init'] } },
    })
    expect(text).toContain(line)
    for (const words of said(text)) {
      expect(words).toMatch(/^found the root image on vda2; cannot mount it on vda[13]: EIO$/)
    }
    expect(reason).toBe('poweroff')
  })

  test('says in one line that there is none, and reboots', async () => {
    const options = { architecture: 'aarch64', stage1: { deadlineMs: 1000 } } as const
    const { text, reason } = await boot(options)
    expect(said(text)).toEqual([`cannot find the root image ${root.imageId} within 1 s; rebooting in 1 s`])
    expect(reason).toBe('reboot')
  })
})
