/** The kernel's uevents: `add@/devices/…`, then `KEY=value` strings, each ended by a NUL byte. */

/** One uevent. */
export interface Uevent {
  /** `add`, `remove`, `change`, `bind` … */
  readonly action: string
  /** The device's path below /sys. */
  readonly devicePath: string
  /** All other values (SUBSYSTEM, MODALIAS, DEVNAME, SEQNUM …). */
  readonly values: Readonly<Record<string, string>>
}

const decoder = new TextDecoder()

/**
 * Reads one netlink datagram of the kernel's; null for anything else. (udevd's own messages begin with
 * `libudev`, and they come from another multicast group.)
 *
 * @see https://git.kernel.org/pub/scm/linux/kernel/git/torvalds/linux.git/tree/lib/kobject_uevent.c
 */
export function parseUevent(datagram: Uint8Array): Uevent | null {
  const [head, ...fields] = decoder.decode(datagram).split('\0')
  const at = head?.indexOf('@') ?? -1
  if (head === undefined || at < 1) return null
  const values: Record<string, string> = {}
  for (const field of fields) {
    const equals = field.indexOf('=')
    if (equals > 0) values[field.slice(0, equals)] = field.slice(equals + 1)
  }
  return { action: head.slice(0, at), devicePath: head.slice(at + 1), values }
}
