// solo commit, rollback, reboot and reset: a device is asked for one thing.
import { createInterface } from 'node:readline/promises'
import { buildCommand, type Command, type CommandContext } from '@stricli/core'
import type { DeviceAddress } from '../device/address.ts'
import type { DeviceClient } from '../device/client.ts'
import { SoloError } from '../error.ts'
import { connect, type DeviceFlags, deviceFlags, deviceParameter } from './device-flags.ts'
import { print } from './output.ts'

interface Asking {
  readonly brief: string
  readonly description: string
  readonly ask: (device: DeviceClient) => Promise<string>
}

function command({ brief, description, ask }: Asking): Command<CommandContext> {
  return buildCommand<DeviceFlags, [device: DeviceAddress]>({
    docs: { brief, fullDescription: description },
    parameters: { positional: { kind: 'tuple', parameters: [deviceParameter] }, flags: deviceFlags },
    async func(flags, device) {
      print(await ask(await connect(device, flags)))
    },
  })
}

/** Confirms a trial. */
export const commit: Command<CommandContext> = command({
  brief: 'Confirm the release that a device has on trial',
  description: 'For appliances whose gate waits for it (updates.gate.confirm in solo.config.ts).',
  async ask(device) {
    await device.command('commit')
    return `${device.name}: confirmed; it is kept when the rest of the gate has passed`
  },
})

/** Gives the running release up. */
export const rollback: Command<CommandContext> = command({
  brief: 'Have a device give its release up and restart into the one before',
  description:
    'The boot entry of the running slot loses its tries, and the device restarts into the other slot.',
  async ask(device) {
    await device.command('rollback')
    return `${device.name}: restarts into the other slot`
  },
})

interface RebootFlags extends DeviceFlags {
  readonly force: boolean
}

/** Restarts. */
export const reboot: Command<CommandContext> = buildCommand<RebootFlags, [device: DeviceAddress]>({
  docs: {
    brief: 'Restart a device',
    fullDescription:
      'Services are stopped in order. A release that was installed is tried now, unless a service does not want that\n' +
      '(beforeUpdate in solo.config.ts): --force restarts all the same, for those who may do everything.',
  },
  parameters: {
    positional: { kind: 'tuple', parameters: [deviceParameter] },
    flags: {
      ...deviceFlags,
      force: {
        kind: 'boolean',
        brief: 'Do not ask services before another release is tried',
        withNegated: false,
      },
    },
  },
  async func({ force, ...flags }, address) {
    const device = await connect(address, flags)
    await device.command(force ? 'force-reboot' : 'reboot')
    print(`${device.name}: restarts`)
  },
})

interface ResetFlags extends DeviceFlags {
  readonly yes: boolean
}

/** Formats the data partition. */
export const reset: Command<CommandContext> = buildCommand<ResetFlags, [device: DeviceAddress]>({
  docs: {
    brief: 'Reset a device to how it was made: all of its data is lost',
    fullDescription:
      'The data partition is formatted at the next boot, which comes at once. Versions and slots stay as they are; so\n' +
      'does the least release that is taken. The device makes a new key: its fingerprint is another one then.',
  },
  parameters: {
    positional: { kind: 'tuple', parameters: [deviceParameter] },
    flags: { ...deviceFlags, yes: { kind: 'boolean', brief: 'Do not ask', withNegated: false } },
  },
  async func({ yes, ...flags }, address) {
    const device = await connect(address, flags)
    const { release } = (await device.status()).machine.boot
    if (release === null) throw new SoloError(`${device.name}: the device does not know what appliance it is`)
    const { appliance } = release
    if (!yes && !(await confirms(device.name, appliance))) {
      throw new SoloError(`${device.name} is not reset: type the appliance's name, or give --yes`)
    }
    await device.reset(appliance)
    print(`${device.name}: restarts, and formats its data partition`)
  },
})

async function confirms(device: string, appliance: string): Promise<boolean> {
  if (!process.stdin.isTTY || !process.stderr.isTTY) return false
  const terminal = createInterface({ input: process.stdin, output: process.stderr })
  const question = `All data of ${device} will be lost. Type the appliance's name (${appliance}) to go on: `
  const answer = await terminal.question(question).finally(() => terminal.close())
  return answer.trim() === appliance
}
