/** The boot of a machine: the steps before the services, and what goes on beside them. */
import { bringUpLoopback } from '@pkg/net/loopback'
import { mountApiFileSystems } from '../boot/api-file-systems.ts'
import { makeFolders } from '../boot/folders.ts'
import { applySysctl, setHostname } from '../boot/kernel-settings.ts'
import { deviceModaliases, openModules, type ModuleLoader } from '../boot/modules.ts'
import { powerButtons, type PowerButtons } from '../boot/power-button.ts'
import { runSteps, type BootStep } from '../boot/steps.ts'
import { watchUevents, type UeventWatch } from '../boot/uevents.ts'
import type { Uevent } from '../boot/uevent.ts'
import type { LogPriority } from '../core.ts'
import type { Plan } from '../plan.ts'
import { catchCtrlAltDel } from '../shell/signals.ts'
import type { Storage } from './storage.ts'
import type { TimeKeeping } from './time.ts'

type Log = (priority: LogPriority, text: string) => void

/** What the boot needs from PID 1. */
export interface BootContext {
  /** What to boot. */
  readonly plan: Plan
  /** Monotonic clock. */
  readonly nowMs: () => number
  /** Writes a line of PID 1's. */
  readonly log: Log
  /** The machine's disk; null where it has none. */
  readonly storage: Storage | null
  /** The machine's clock. */
  readonly time: TimeKeeping
  /** The power button was pressed. */
  readonly onPowerButton: () => void
}

/** Makes the file systems that everything after it needs. */
export async function bootFileSystems({ nowMs, log }: Pick<BootContext, 'nowMs' | 'log'>): Promise<void> {
  await runSteps([{ name: 'api file systems', run: mountApiFileSystems }], nowMs, log)
}

/** Everything else up to the services. */
export async function bootMachine(context: BootContext): Promise<void> {
  const { plan, nowMs, log, storage, time } = context
  const buttons = powerButtons(context.onPowerButton)
  let loader: ModuleLoader | null = null
  let uevents: UeventWatch | null = null
  const steps: readonly BootStep[] = [
    // First, for files and logs get its time.
    { name: 'clock', run: () => time.floor() },
    { name: 'ctrl-alt-del', run: catchCtrlAltDel },
    { name: 'host name', run: () => setHostname(plan.hostname) },
    { name: 'loopback', run: bringUpLoopback },
    { name: 'module index', run: () => ((loader = openModules()) === null ? 'none' : undefined) },
    { name: 'modules of the plan', run: () => loadPlanned(plan, loader) },
    // Listening comes before looking, so that no device slips through between the two.
    { name: 'uevents', run: () => void (uevents = listen(loader, buttons, log)) },
    { name: 'modules of the devices', run: () => loadForDevices(loader, uevents, log) },
    { name: 'power button', run: () => `${buttons.addAll()} new` },
    // After the modules: some settings exist only with them.
    { name: 'kernel settings', run: () => applySysctl(plan.sysctl) },
    ...(storage?.steps ?? []),
    ...(storage === null ? [] : [{ name: 'saved time', run: () => time.restore() }]),
    { name: 'folders', run: () => makeFolders(plan.folders) },
  ]
  await runSteps(steps, nowMs, log)
}

function loadPlanned(plan: Plan, loader: ModuleLoader | null): string {
  if (plan.modules.length === 0) return 'none'
  if (loader === null) throw new Error(`${plan.modules.join(' ')}: there is no module index for this kernel`)
  const loaded = plan.modules.flatMap((name) => loader.load(name))
  const failures = loader.takeFailures()
  if (failures.length > 0) throw new Error(failures.join('; '))
  return loaded.join(' ')
}

/** A bus driver finds what is on its bus: those devices come as uevents, and are asked for at once. */
function loadForDevices(loader: ModuleLoader | null, uevents: UeventWatch | null, log: Log): string {
  if (loader === null) return 'none'
  const modaliases = deviceModaliases()
  const loaded = loadAll(loader, modaliases, log)
  uevents?.drain()
  return `${loaded.join(' ') || 'none new'}, for ${modaliases.size} devices`
}

function loadAll(loader: ModuleLoader, modaliases: Iterable<string>, log: Log): string[] {
  const loaded = [...modaliases].flatMap((modalias) => loader.loadForDevice(modalias))
  for (const failure of loader.takeFailures()) log('warning', failure)
  return loaded
}

function listen(loader: ModuleLoader | null, buttons: PowerButtons, log: Log): UeventWatch {
  function onEvent({ action, values }: Uevent): void {
    const { MODALIAS: modalias, DEVNAME: device } = values
    if (action !== 'add') return
    if (modalias !== undefined) load([modalias])
    if (device !== undefined && buttons.add(device)) log('info', `power button: /dev/${device}`)
  }
  function onLost(): void {
    log('warning', 'uevents were lost, looking at all devices again')
    load(deviceModaliases())
    buttons.addAll()
  }
  function load(modaliases: Iterable<string>): void {
    const loaded = loader === null ? [] : loadAll(loader, modaliases, log)
    if (loaded.length > 0) log('info', `modules of a new device: ${loaded.join(' ')}`)
  }
  return watchUevents({ onEvent, onLost })
}
