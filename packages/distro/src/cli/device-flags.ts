// What every command takes that talks to a device.
import { type DeviceAddress, parseDevice } from '../device/address.ts'
import type { DeviceClient } from '../device/client.ts'
import { connectDevice } from '../device/connect.ts'
import { parseFingerprint } from '../device/known-devices.ts'

/** Their values. */
export interface DeviceFlags {
  readonly key?: string
  readonly fingerprint?: string
}

/** The device, as the first word. */
export const deviceParameter: { brief: string; placeholder: string; parse: (text: string) => DeviceAddress } =
  {
    brief: 'Name or address of the device, with :PORT unless it is 8443',
    placeholder: 'DEVICE',
    parse: parseDevice,
  }

/** The flags. */
export const deviceFlags: {
  key: { kind: 'parsed'; parse: (text: string) => string; brief: string; placeholder: string; optional: true }
  fingerprint: {
    kind: 'parsed'
    parse: (text: string) => string
    brief: string
    placeholder: string
    optional: true
  }
} = {
  key: {
    kind: 'parsed',
    parse: String,
    brief:
      'SSH key to log in with, or the .pub file of one that ssh-agent holds (default: SOLO_KEY, ~/.ssh/id_ed25519)',
    placeholder: 'FILE',
    optional: true,
  },
  fingerprint: {
    kind: 'parsed',
    parse: parseFingerprint,
    brief: 'SHA-256 fingerprint that the device shows on its console; trusted from now on',
    placeholder: 'AB:CD:…',
    optional: true,
  },
}

/** Connects as the flags say. */
export async function connect(
  address: DeviceAddress,
  { key, fingerprint }: DeviceFlags,
): Promise<DeviceClient> {
  return await connectDevice(address, {
    ...(key === undefined ? {} : { key }),
    ...(fingerprint === undefined ? {} : { fingerprint }),
  })
}
