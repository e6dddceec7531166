// The device behind the sockets of PID 1 and of the updater.
import type { ControlRequest, MachineStatus } from '@pkg/init/control'
import { UpdateRefused } from '@pkg/update/refused'
import { installByUpdater, installFromStick, slotStates } from '@pkg/update/updater-client'
import type { SlotState } from '@pkg/update/updater-protocol'
import { Bell } from './bell.ts'
import type { DeviceStatus } from './bodies.ts'
import { Channel, channelFiles, sourceOf } from './channel.ts'
import { askInit, ControlUnreachable, watchInit } from './control-client.ts'
import type { Device } from './device.ts'
import type { Identity } from './identity.ts'
import { Logins } from './login.ts'
import type { AgentSettings } from './settings.ts'
import { type Updater, Updates } from './updates.ts'

/** Changes are told this often at most, in milliseconds. */
const TELL_MS = 250

/** How long the updater may take to look at the slots, in milliseconds: it reads the start of each. */
const STATE_MS = 10_000

type Log = (line: string) => void

/** Opens it; nothing is asked yet. */
export function openDevice(settings: AgentSettings, { fingerprint }: Identity, log: Log): Device {
  const { appliance, hostname, controlSocket, updaterSocket: socket, folder } = settings
  const updates = socket === null ? null : new Updates(updaterAt(socket))
  const slots = async (): Promise<readonly SlotState[] | null> =>
    socket === null ? null : await slotsOf(socket, log)
  const machine = async (): Promise<MachineStatus> => {
    const status = await askInit(controlSocket, { type: 'status' })
    if (status !== undefined) return status
    throw new ControlUnreachable(`${controlSocket}: PID 1 answered without a status`)
  }
  const ask = async (request: ControlRequest): Promise<void> => void (await askInit(controlSocket, request))
  const restart = (): Promise<void> => ask({ type: 'shutdown', kind: 'reboot' })
  const channel =
    settings.channel === null || updates === null
      ? null
      : new Channel({
          ...{ settings: settings.channel, source: sourceOf(settings.channel), files: channelFiles },
          ...{ folder, updates, machine, slots, restart, log },
        })
  const whole = async (
    status: MachineStatus,
    states: Promise<DeviceStatus['slots']>,
  ): Promise<DeviceStatus> => {
    return {
      machine: status,
      slots: await states,
      update: updates?.state ?? null,
      channel: channel?.state ?? null,
    }
  }
  return {
    ...{ appliance, hostname, updates, channel, log, ask },
    logins: new Logins(settings.keys, fingerprint, () => performance.now()),
    status: async () => await whole(await machine(), slots()),
    watch: (signal) =>
      watchDevice({ machines: watchInit(controlSocket, signal), updates, slots, whole, signal }),
  }
}

function updaterAt(socket: string): Updater {
  return {
    install: (documents, source, watch) => installByUpdater({ socket, documents, source, ...watch }),
    installFromStick: (watch) => installFromStick({ socket, ...watch }),
  }
}

interface Watching {
  readonly machines: AsyncIterable<MachineStatus>
  readonly updates: Updates | null
  readonly slots: () => Promise<DeviceStatus['slots']>
  readonly whole: (machine: MachineStatus, slots: Promise<DeviceStatus['slots']>) => Promise<DeviceStatus>
  readonly signal: AbortSignal
}

async function* watchDevice({
  machines,
  updates,
  slots,
  whole,
  signal,
}: Watching): AsyncGenerator<DeviceStatus> {
  const bell = new Bell()
  let machine: MachineStatus | undefined
  const read = async (): Promise<void> => {
    for await (machine of machines) bell.ring()
  }
  read().catch((error: unknown) => bell.fail(error))
  const stopListening = updates?.onChange(() => bell.ring())
  try {
    let states: Promise<DeviceStatus['slots']> = Promise.resolve(null)
    let told: string | undefined
    for await (const _ of bell.turns(TELL_MS, signal)) {
      if (machine === undefined) continue
      const { id, state } = updates?.state ?? {}
      // The slots change with an update's beginning and end; to look at them takes the updater longer than to progress.
      if (told !== `${id} ${state}`) states = slots()
      told = `${id} ${state}`
      yield await whole(machine, states)
    }
  } finally {
    stopListening?.()
  }
}

/** An updater that does not answer must not hide how the rest is. */
async function slotsOf(socket: string, log: Log): Promise<readonly SlotState[] | null> {
  try {
    return (await slotStates({ socket, signal: AbortSignal.timeout(STATE_MS) })).slots
  } catch (error) {
    // A machine that was booted without a boot loader has none.
    if (error instanceof UpdateRefused) return null
    log(`the slots are not known: ${error instanceof Error ? error.message : String(error)}`)
    return null
  }
}
