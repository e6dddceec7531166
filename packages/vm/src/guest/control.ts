/** The line to the host, whatever it is: opened, made raw and non-blocking. */
import { AT_FDCWD, O_NOCTTY, O_RDWR, TCGETS, TCSETS } from '@pkg/sys/constants'
import { isSysError } from '@pkg/sys/errno'
import { OwnedFd } from '@pkg/sys/fd'
import { openat } from '@pkg/sys/fs'
import { ioctl, setNonBlocking } from '@pkg/sys/io'
import { readdirSync, readFileSync } from 'node:fs'

/** How long a device is waited for at boot: its driver may still be probing. */
const DEVICE_TRIES = 200
const DEVICE_INTERVAL_MS = 25

/** The opened line. */
export interface Control {
  /** Non-blocking. */
  readonly fd: OwnedFd
  /** Whether its end is the host's end: of a socket, not of a device, whose host may come again. */
  readonly hasEnd: boolean
  /** Whether it must not run full: see agent/paced-line.ts. */
  readonly isPaced: boolean
}

/**
 * Opens what `--control` names.
 *
 * @param isWaiting - whether a device that is not there yet is waited for
 * @throws TypeError unknown kind; SysError it cannot be opened
 */
export async function openControl(where: string, isWaiting: boolean): Promise<Control> {
  const [, kind, name = ''] = /^(\w+):(.+)$/.exec(where) ?? []
  const control = kind === 'fd' ? new OwnedFd(Number(name)) : await openDevice(kind, name, isWaiting)
  if (kind === 'tty') makeRaw(control)
  setNonBlocking(control, true)
  return { fd: control, hasEnd: kind === 'fd', isPaced: kind === 'tty' }
}

async function openDevice(kind: string | undefined, name: string, isWaiting: boolean): Promise<OwnedFd> {
  if (kind !== 'tty' && kind !== 'virtio') throw new TypeError(`--control: not virtio:, tty: or fd:`)
  for (let tries = isWaiting ? DEVICE_TRIES : 1; ; tries--) {
    const path = kind === 'tty' ? name : virtioPort(name)
    try {
      if (path !== undefined) return openat(AT_FDCWD, path, O_RDWR | O_NOCTTY)
    } catch (error) {
      if (!isSysError(error) || tries <= 1) throw error
    }
    if (tries <= 1) throw new Error(`there is no virtio port named ${name}`)
    await new Promise((resolve) => setTimeout(resolve, DEVICE_INTERVAL_MS))
  }
}

/** The device of the virtio serial port that QEMU's command line gave this name. */
function virtioPort(name: string): string | undefined {
  const folder = '/sys/class/virtio-ports'
  try {
    const port = readdirSync(folder).find(
      (each) => readFileSync(`${folder}/${each}/name`, 'utf8').trim() === name,
    )
    return port === undefined ? undefined : `/dev/${port}`
  } catch {
    return undefined
  }
}

/** cfmakeraw(3) on the kernel's `struct termios` (asm-generic/termbits.h): i, o, c, l flags, line, 19 characters. */
function makeRaw(tty: OwnedFd): void {
  const words = new Uint32Array(new ArrayBuffer(60))
  const bytes = new Uint8Array(words.buffer)
  ioctl(tty, TCGETS, bytes)
  const [input = 0, output = 0, control = 0, local = 0] = words
  words[0] = input & ~0o2753 // IGNBRK BRKINT PARMRK ISTRIP INLCR IGNCR ICRNL IXON
  words[1] = output & ~0o1 // OPOST
  words[2] = (control & ~0o460) | 0o60 // CSIZE PARENB, then CS8
  words[3] = local & ~0o100113 // ECHO ECHONL ICANON ISIG IEXTEN
  // c_cc begins at byte 17; VTIME is 5, VMIN 6.
  bytes[17 + 5] = 0
  bytes[17 + 6] = 1
  ioctl(tty, TCSETS, bytes)
}
