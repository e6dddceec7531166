// solo update
import { buildCommand, type Command, type CommandContext } from '@stricli/core'
import type { UpdateState } from '../agent/bodies.ts'
import type { DeviceAddress } from '../device/address.ts'
import type { DeviceClient } from '../device/client.ts'
import { chooseKey } from '../device/connect.ts'
import { waitForOutcome } from '../device/outcome.ts'
import { installFromStick, pushRelease } from '../device/push.ts'
import { mebibytes } from '../device/status-lines.ts'
import { findRelease } from '../device/what.ts'
import { SoloError } from '../error.ts'
import type { Progress } from '../progress.ts'
import { connect, type DeviceFlags, deviceFlags, deviceParameter } from './device-flags.ts'
import { consoleProgress, print } from './output.ts'
import { parseCount } from './parse.ts'

interface Flags extends DeviceFlags {
  readonly sign?: readonly string[]
  readonly reference?: string
  readonly stick: boolean
  readonly reboot: boolean
  readonly wait: boolean
  readonly timeout: number
  readonly json: boolean
}

/** Pushes a release to a device. */
export const update: Command<CommandContext> = buildCommand<Flags, [device: DeviceAddress, what?: string]>({
  docs: {
    brief: 'Push a release to a device; from sources, build and sign it first',
    fullDescription:
      'RELEASE is the folder, the archive or the address of a release (solo release), or the folder of an appliance:\n' +
      'that one is built, signed with the key that logs in (or those of --sign) and pushed in one go, with a counter\n' +
      'above the one that runs. The device takes what it does not have yet, into the slot that does not run. The next\n' +
      'boot tries it: with --reboot at once; with --wait the command ends when it is kept, or with the reason for which\n' +
      'it was given up.',
  },
  parameters: {
    positional: {
      kind: 'tuple',
      parameters: [
        deviceParameter,
        {
          brief: 'A release, or the folder of an appliance (default: here)',
          placeholder: 'RELEASE',
          parse: String,
          optional: true,
        },
      ],
    },
    flags: {
      ...deviceFlags,
      sign: {
        kind: 'parsed',
        parse: String,
        variadic: true,
        optional: true,
        placeholder: 'FILE',
        brief: 'SSH key that signs what is built, again for each further one (default: the one that logs in)',
      },
      reference: {
        kind: 'parsed',
        parse: String,
        optional: true,
        placeholder: 'NAME',
        brief: 'Which release of the folder, where there are several',
      },
      stick: {
        kind: 'boolean',
        brief: 'Install the release on a medium that is plugged into the device',
        withNegated: false,
      },
      reboot: { kind: 'boolean', brief: 'Restart the device into it', withNegated: false },
      wait: { kind: 'boolean', brief: 'Restart, and wait until it is kept or given up', withNegated: false },
      timeout: {
        kind: 'parsed',
        parse: parseCount,
        brief: 'How long to wait for that, in seconds',
        placeholder: 'SECONDS',
        default: '600',
      },
      json: { kind: 'boolean', brief: 'Print what was installed as JSON', withNegated: false },
    },
  },
  async func(flags, address, what) {
    const { reboot, wait, timeout, json } = flags
    if (flags.stick && what !== undefined) {
      throw new SoloError(`--stick: the release is on the medium, expected no other one, got ${what}`, {
        exitStatus: 2,
      })
    }
    const progress = consoleProgress()
    const device = await connect(address, flags)
    const state = await install(device, { ...flags, what: what ?? '.' }, progress)
    const { slot, fetchedBytes, release } = state
    const { version = '', counter = 0 } = release ?? {}
    if (reboot || wait) await device.command('reboot')
    if (wait) {
      progress.step('trial')
      await waitForOutcome(device, { version, counter }, timeout * 1000, (detail) =>
        progress.percent(detail, 0),
      )
      progress.done(`${version} runs and is kept`)
    }
    const outcome = wait ? 'kept' : reboot ? 'restarting' : 'installed'
    if (json) print(JSON.stringify({ device: device.name, version, counter, slot, fetchedBytes, outcome }))
    else if (!reboot && !wait) print(`${version} is tried at the next boot: solo reboot ${device.name}`)
    else print(`${device.name}: ${version} ${wait ? 'runs and is kept' : 'is tried now'}`)
  },
})

async function install(
  device: DeviceClient,
  { what, stick, sign, key, reference }: Flags & { readonly what: string },
  progress: Progress,
): Promise<UpdateState> {
  if (stick) return await shown(device, progress, (onProgress) => installFromStick(device, onProgress))
  const keys = sign ?? [await chooseKey(key)]
  const status = await device.status()
  await using release = await findRelease({
    ...{ what, keys, status, progress },
    ...(reference === undefined ? {} : { reference }),
  })
  return await shown(device, progress, (onProgress) => pushRelease(device, release, onProgress))
}

/** Shows how an update goes, and what came of it. */
async function shown(
  device: DeviceClient,
  progress: Progress,
  begin: (onProgress: (state: UpdateState) => void) => Promise<UpdateState>,
): Promise<UpdateState> {
  progress.step(`update ${device.name}`)
  const startedMs = performance.now()
  const state = await begin((each) => showProgress(progress, each))
  const took = ((performance.now() - startedMs) / 1000).toFixed(1)
  const { release, slot, fetchedBytes } = state
  progress.done(`${release?.version} is in ${slot}, ${mebibytes(fetchedBytes)} fetched in ${took} s`)
  return state
}

function showProgress(progress: Progress, { phase, doneBytes, totalBytes, fetchedBytes }: UpdateState): void {
  const percent = totalBytes === 0 ? 0 : (100 * doneBytes) / totalBytes
  progress.percent(`${phase}, ${mebibytes(fetchedBytes)} fetched,`, percent)
}
