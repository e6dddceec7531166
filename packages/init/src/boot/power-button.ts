/** The power button: an input device that the ACPI button driver makes, read through evdev. */
import { AT_FDCWD, EPOLLIN, O_DIRECTORY, O_NONBLOCK, O_RDONLY } from '@pkg/sys/constants'
import { isSysError } from '@pkg/sys/errno'
import { getdents64, openat } from '@pkg/sys/fs'
import { ioctl, read } from '@pkg/sys/io'
import { reactor } from '@pkg/sys/reactor'
import { eviocgbitKey, hasPowerKey, hasPowerPress, INPUT_EVENT_BYTES } from './input-event.ts'

/** Watches all power buttons. */
export interface PowerButtons {
  /** Looks at all input devices; returns how many are power buttons that are new. */
  addAll(): number
  /** Looks at one device by its name in /dev (`input/event0`); true when it is a new power button. */
  add(name: string): boolean
}

/** KEY_MAX is 0x2ff (linux/input-event-codes.h): 96 bytes of bits. */
const KEY_BITS_BYTES = 96
const buffer = new Uint8Array(new ArrayBuffer(INPUT_EVENT_BYTES * 16))

/** Calls back for each press. */
export function powerButtons(onPress: () => void): PowerButtons {
  const watched = new Set<string>()

  function add(name: string): boolean {
    if (watched.has(name) || !/^input\/event\d+$/.test(name)) return false
    try {
      return watch(name)
    } catch (error) {
      if (isSysError(error)) return false
      throw error
    }
  }

  function watch(name: string): boolean {
    const device = openat(AT_FDCWD, `/dev/${name}`, O_RDONLY | O_NONBLOCK)
    const bits = new Uint8Array(new ArrayBuffer(KEY_BITS_BYTES))
    try {
      ioctl(device, eviocgbitKey(KEY_BITS_BYTES), bits)
    } catch (error) {
      device.close()
      throw error
    }
    if (!hasPowerKey(bits)) {
      device.close()
      return false
    }
    watched.add(name)
    const waiting = reactor().watch(device, EPOLLIN, () => {
      const sizeBytes = readOrGone()
      if (sizeBytes === null) return
      if (hasPowerPress(buffer.subarray(0, sizeBytes))) onPress()
    })
    function readOrGone(): number | null {
      try {
        return read(device, buffer)
      } catch (error) {
        if (isSysError(error, 'EAGAIN')) return null
        // ENODEV: unplugged. The name may come back as another device.
        waiting[Symbol.dispose]()
        device.close()
        watched.delete(name)
        return null
      }
    }
    return true
  }

  return {
    add,
    addAll: () => inputDevices().filter(add).length,
  }
}

function inputDevices(): string[] {
  try {
    using folder = openat(AT_FDCWD, '/dev/input', O_RDONLY | O_DIRECTORY)
    return [...getdents64(folder)].map(({ d_name }) => `input/${d_name}`)
  } catch (error) {
    if (isSysError(error)) return []
    throw error
  }
}
