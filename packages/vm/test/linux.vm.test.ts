import { existsSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { GuestEndedError, GuestPanicError, GuestTimeoutError } from '../src/errors.ts'
import { startQemu, type QemuMachine, type QemuOptions } from '../src/qemu.ts'
import { linuxGuest, type LinuxGuest } from './linux-guest.ts'

// Debian's cloud kernel under TCG takes 2 s to its init on an idle machine, and 15 s on a busy one.
const limits = { memoryMiB: 128, networks: [], timeoutMs: 240_000 } as const

async function bootLinux(
  { kernel, initrd, append }: LinuxGuest,
  { append: more = '', ...options }: Partial<QemuOptions> = {},
): Promise<QemuMachine> {
  return startQemu({ kernel, initrd, append: `${append} ${more}`, ...limits, ...options })
}

describe('a Linux guest', () => {
  test('prints, answers on its console, and tells a power-off', async () => {
    using guest = await linuxGuest('echo "guest: $(uname -s)"; read line; echo "heard $line"; poweroff -f')
    await using vm = await bootLinux(guest)
    await vm.console.waitFor(/guest: Linux/)
    vm.console.write('hello\n')
    expect(await vm.waitForPoweroff()).toMatchObject({ reason: 'poweroff', code: 0 })
    expect(vm.console.text).toMatch(/^heard hello$/m)
  })

  test('that reboots is told from one that powers off', async () => {
    using guest = await linuxGuest('reboot -f')
    await using vm = await bootLinux(guest)
    expect(await vm.exited).toMatchObject({ reason: 'reboot', error: expect.any(GuestEndedError) })
  })

  test('whose init ends panics, and the error shows why and the last lines', async () => {
    using guest = await linuxGuest('echo "about to go"; exit 3')
    await using vm = await bootLinux(guest)
    const error = await vm.waitForPoweroff().catch((reason: unknown) => reason)
    expect(error).toBeInstanceOf(GuestPanicError)
    expect(error).toMatchObject({ panic: 'Attempted to kill init! exitcode=0x00000300' })
    expect(String(error)).toContain('about to go')
  })

  test('that panics and stays (panic=0) is ended all the same', async () => {
    using guest = await linuxGuest('echo c > /proc/sysrq-trigger')
    await using vm = await bootLinux(guest, { append: 'panic=0' })
    await expect(vm.console.waitFor(/never/)).rejects.toMatchObject({ panic: 'sysrq triggered crash' })
    expect(await vm.exited).toMatchObject({ reason: 'panic' })
  })

  test('whose pvpanic driver is loaded ends by its own word, before panic=0 could hold it', async () => {
    using guest = await linuxGuest('echo c > /proc/sysrq-trigger', ['pvpanic_mmio'])
    await using vm = await bootLinux(guest, { append: 'panic=0' })
    // Not by our SIGKILL: QEMU has heard of the panic from the guest.
    expect(await vm.exited).toMatchObject({ reason: 'panic', code: 0, signal: null })
  })

  test('that hangs fails the wait at its time, with what it said, and is gone after disposal', async () => {
    using guest = await linuxGuest('echo "guest: waiting for nothing"; sleep 1000')
    await using vm = await bootLinux(guest)
    await vm.console.waitFor(/waiting for nothing/)
    const error = await vm.console.waitFor(/ready/, { timeoutMs: 500 }).catch((reason: unknown) => reason)
    expect(error).toBeInstanceOf(GuestTimeoutError)
    expect(error).toMatchObject({ kind: 'wait' })
    expect(String(error)).toContain('guest: waiting for nothing')
    await vm[Symbol.asyncDispose]()
    expect(existsSync(`/proc/${vm.pid}`)).toBe(false)
  })
})

/** 10.0.2.15 is QEMU's fixed address for the guest; the power button's node is found by its name. */
const APPLIANCE = `
ip link set lo up
ip link set eth0 up
ip address add 10.0.2.15/24 dev eth0
mkdir -p /www
echo "served by the guest" > /www/index.html
httpd -p 80 -h /www
for event in /sys/class/input/event*; do
  if [ "$(cat $event/device/name)" = "Power Button" ]; then button=/dev/input/\${event##*/}; break; fi
done
echo "guest: listening, button $button"
dd if=$button bs=24 count=1 2>/dev/null | hexdump -e '8/2 "%d " 1/2 "type %d " 1/2 "code %d " 1/4 "value %d\\n"'
echo "guest: button pressed"
poweroff -f
`

describe('an appliance', () => {
  let guest: LinuxGuest
  let vm: QemuMachine
  beforeAll(async () => {
    guest = await linuxGuest(APPLIANCE, ['virtio_pci', 'virtio_net', 'button', 'evdev'])
    vm = await bootLinux(guest, { networks: [{ kind: 'user', forwards: [{ hostPort: 0, guestPort: 80 }] }] })
  })
  afterAll(async () => {
    await vm[Symbol.asyncDispose]()
    guest[Symbol.dispose]()
  })

  test('is reached through a forwarded port', async () => {
    await vm.console.waitFor(/guest: listening, button \/dev\/input\/event\d/, { timeoutMs: 60_000 })
    const page = await fetch(`http://127.0.0.1:${vm.forwards[0]?.hostPort}/`)
    expect(await page.text()).toBe('served by the guest\n')
  })

  test('sees KEY_POWER when powerdown() presses the button, and powers off', async () => {
    await vm.powerdown()
    await vm.waitForPoweroff()
    // EV_KEY is 1 and KEY_POWER 116 (linux/input-event-codes.h).
    expect(vm.console.text).toMatch(/type 1 code 116 value 1\nguest: button pressed/)
  })
})
