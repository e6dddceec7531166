// solo status
import { buildCommand, type Command, type CommandContext } from '@stricli/core'
import type { DeviceAddress } from '../device/address.ts'
import { statusLines } from '../device/status-lines.ts'
import { connect, type DeviceFlags, deviceFlags, deviceParameter } from './device-flags.ts'
import { print } from './output.ts'

interface Flags extends DeviceFlags {
  readonly json: boolean
}

/** Says how a device is. */
export const status: Command<CommandContext> = buildCommand<Flags, [device: DeviceAddress]>({
  docs: {
    brief: 'Say how a device is: version, slots, services, the last rollback',
    fullDescription: 'Asks the agent of a device. With --json: all that its API tells, as one line.',
  },
  parameters: {
    positional: { kind: 'tuple', parameters: [deviceParameter] },
    flags: { ...deviceFlags, json: { kind: 'boolean', brief: 'Print it as JSON', withNegated: false } },
  },
  async func(flags, device) {
    const found = await (await connect(device, flags)).status()
    if (flags.json) print(JSON.stringify(found))
    else for (const line of statusLines(found)) print(line)
  },
})
