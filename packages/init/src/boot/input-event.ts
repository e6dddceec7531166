/** Keys from an evdev device: enough to know the power button. */
import { EV_KEY, KEY_POWER, KEY_POWER2 } from '@pkg/sys/constants'

/** `struct input_event` with a 64-bit timeval: 16 bytes of time, then type, code (u16) and value (s32). */
export const INPUT_EVENT_BYTES = 24

/** `EVIOCGBIT(EV_KEY, lengthBytes)` of linux/input.h: which keys the device has. */
export function eviocgbitKey(lengthBytes: number): number {
  // _IOC(_IOC_READ, 'E', 0x20 + EV_KEY, lengthBytes): direction in bits 30–31, size in 16–29, type in 8–15.
  return 0x8000_0000 + lengthBytes * 0x1_0000 + 0x4500 + 0x20 + EV_KEY
}

/** Whether a bitmap of EVIOCGBIT has one of the power keys. */
export function hasPowerKey(bits: Uint8Array): boolean {
  return [KEY_POWER, KEY_POWER2].some((key) => ((bits[key >> 3] ?? 0) & (1 << (key & 7))) !== 0)
}

/** Whether one of the events in `bytes` is a power key going down (value 1; 0 is up, 2 is autorepeat). */
export function hasPowerPress(bytes: Uint8Array): boolean {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  for (let at = 0; at + INPUT_EVENT_BYTES <= bytes.length; at += INPUT_EVENT_BYTES) {
    const code = view.getUint16(at + 18, true)
    const isKey = view.getUint16(at + 16, true) === EV_KEY && (code === KEY_POWER || code === KEY_POWER2)
    if (isKey && view.getInt32(at + 20, true) === 1) return true
  }
  return false
}
