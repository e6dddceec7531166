/**
 * What goes on above the services: the boot's state for everyone to read, the gate before the blessing, and the control
 * socket. Imported when the machine has booted, so that none of it is in the way of the boot.
 */
import type { BootState, ReleaseIdentity, Rollback } from '../boot-state.ts'
import type { ControlRequest, MachineStatus } from '../control.ts'
import { reportOf } from '../control/report.ts'
import { serveControl, type ControlServer, type Peer } from '../control/server.ts'
import type { LogPriority } from '../core.ts'
import type { Plan } from '../plan.ts'
import { floodLimit, type FloodLimit } from '../log/flood.ts'
import { makeFolder } from '../shell/cgroup.ts'
import type { HookContext } from '../shell/hook.ts'
import type { Supervisor } from '../shell/supervisor.ts'
import { markNeverFormatted } from '../storage/reset.ts'
import type { Slots } from '../storage/slots.ts'
import { askServices } from '../trial/before-update.ts'
import { nextRelease, rollBack } from '../trial/by-hand.ts'
import { records, type Records } from '../trial/record.ts'
import { isOf, lastRollback } from '../trial/rollback.ts'
import { makeTrial, type Trial } from '../trial/trial.ts'
import { keepBootState, type BootKeeper } from './boot-keeper.ts'
import type { Storage } from './storage.ts'
import type { TimeKeeping } from './time.ts'

/** What overseeing needs. */
export interface OverseeContext extends HookContext {
  /** The plan. */
  readonly plan: Plan
  /** Folder of the socket and of boot.json. */
  readonly run: string
  /** The machine's disk; null in a container, and in a machine without. */
  readonly disk: Storage | null
  /** Whether a machine was booted, and not a container. */
  readonly isMachine: boolean
  /** What the image says of itself. */
  readonly release: ReleaseIdentity | null
  /** The clock. */
  readonly time: TimeKeeping
  /** The supervisor. */
  readonly supervisor: Supervisor
  /** Writes a line of PID 1's. */
  readonly log: (priority: LogPriority, text: string) => void
  /** The slot has been blessed. */
  readonly onBlessed: () => void
}

/** What is above the services. */
export interface Oversight {
  /** Something is done before services start that may go wrong, in words. */
  preparing(step: string): void
  /** The services are about to start. */
  begin(): void
  /** To be told after each step of the supervisor. */
  changed(): void
  /** The time comes from somewhere else now. */
  clockChanged(): void
  /** The file systems are about to be unmounted. */
  fileSystemsEnd(): void
  /** The file systems are unmounted, or can only be read: the last that is done on the disk. */
  fileSystemsEnded(): void
}

/** Where state lies. */
const DATA = '/var'

/** Makes it; what cannot be done is logged, and the rest goes on. */
export function oversee(context: OverseeContext): Oversight {
  const { plan, run, disk, supervisor, log, time } = context
  let server: ControlServer | null = null
  const boot = keepBootState(context.release, time.clock.source, log, () => server?.changed())
  const kept = records(`${DATA}/lib/solo`)
  const slots = disk?.slots() ?? null
  if (disk !== null) boot.update(disk.found())
  if (slots !== null) {
    boot.update(standing(slots, boot.state))
    attempt(log, 'last rollback', () => boot.update({ lastRollback: recall(slots, boot.state, kept, log) }))
  }
  const shutDown = (kind: 'reboot' | 'power-off'): void => {
    supervisor.send({ type: 'shutdown-requested', kind, immediate: false })
  }
  const restart = (): void => shutDown('reboot')
  const means = { ...context, plan: plan.gate, records: kept, boot, state: () => supervisor.state, restart }
  const keepsData = (): boolean => disk?.keeps() ?? true
  const trial = slots === null ? null : makeTrial({ ...means, slots, keepsData })
  const doer: Doer = {
    ...{ supervisor, log, boot, trial, slots, shutDown },
    ...{ hooks: context, records: kept, resetting: false, asking: false },
    ...{ nowMs: context.nowMs, lines: floodLimit(REQUESTS_TOLD, REQUESTS_TOLD_PER_SECOND) },
  }
  attempt(log, 'boot.json', () => {
    makeFolder(run)
    if (context.isMachine) boot.tellBy(`${run}/boot.json`)
  })
  attempt(log, 'control socket', () => {
    server = serveControl({
      path: `${run}/control.sock`,
      gid: plan.control.gid,
      log,
      status: () => statusOf(context, boot, trial),
      act: async (request, peer) => await carryOut(doer, request, peer),
    })
  })
  return {
    preparing: (step) => trial?.preparing(step),
    begin: () => trial?.open(),
    changed() {
      trial?.changed()
      server?.changed()
    },
    clockChanged() {
      const clock = time.clock.source
      if (clock !== boot.state.clock) boot.update({ clock })
    },
    fileSystemsEnd: () => time.save(),
    fileSystemsEnded: () => endFileSystems(doer),
  }
}

type Action = Exclude<ControlRequest, { type: 'status' | 'watch' }>

/** What requests are carried out with. */
interface Doer extends Pick<OverseeContext, 'supervisor' | 'log' | 'nowMs'> {
  /** How many requests are logged: who may ask must not take the log from others. */
  readonly lines: FloodLimit
  readonly hooks: HookContext
  readonly boot: BootKeeper
  readonly trial: Trial | null
  readonly slots: Slots | null
  readonly records: Records
  readonly shutDown: (kind: 'reboot' | 'power-off') => void
  /** Whether the shutdown that is under way ends with a factory reset. */
  resetting: boolean
  /** Whether services are being asked before a restart. */
  asking: boolean
}

/** So many requests are logged at once, and so many a second for ever. */
const REQUESTS_TOLD = 50
const REQUESTS_TOLD_PER_SECOND = 2

/** Who asks is often a service, or somebody behind one: it gets its answer, and passes it on, before it is stopped. */
const ANSWER_FIRST_MS = 250

async function carryOut(doer: Doer, request: Action, peer: Peer): Promise<void> {
  const { supervisor, log, boot, trial, slots } = doer
  const shutDownSoon = (kind: 'reboot' | 'power-off'): void => {
    setTimeout(() => doer.shutDown(kind), ANSWER_FIRST_MS)
  }
  const by = `process ${peer.pid} of user ${peer.uid}`
  const { pass, suppressed } = doer.lines.admit(doer.nowMs())
  if (suppressed > 0) log('notice', `control: ${suppressed} requests more`)
  if (pass) log('notice', `control: ${describe(request)}, asked by ${by}`)
  if (supervisor.state.shutdown !== null) throw new Error('the machine is shutting down')
  switch (request.type) {
    case 'commit':
      if (trial === null) throw new Error('there is no trial: nothing is counted')
      return trial.confirm()
    case 'rollback':
      if (slots === null) throw new Error('there is no other slot: nothing is counted')
      log('notice', `control: given up: ${await rollBack({ ...doer, slots }, `given up by hand, by ${by}`)}`)
      return shutDownSoon('reboot')
    case 'factory-reset':
      if (boot.state.partitions.data === null) throw new Error('there is no data partition')
      doer.resetting = true
      return shutDownSoon('reboot')
    case 'shutdown':
      if (request.kind === 'reboot' && slots !== null && request.force !== true)
        await prepareSwitch(doer, slots)
      return shutDownSoon(request.kind)
    default:
      return actOnService(supervisor, request)
  }
}

/** A restart that is one into another release is told to the services first. */
async function prepareSwitch(doer: Doer, slots: Slots): Promise<void> {
  const { supervisor, log, hooks } = doer
  const { services } = supervisor.state
  if (Object.values(services).every(({ plan }) => plan.beforeUpdate === null)) return
  if (doer.asking) throw new Error('services are being asked before another restart')
  doer.asking = true
  try {
    const next = await nextRelease(slots)
    if (next === null) return
    log(
      'notice',
      `control: the restart is one into ${next.slot} (${next.version ?? 'of an unknown version'})`,
    )
    await askServices(services, next.version, hooks)
  } finally {
    doer.asking = false
  }
}

function endFileSystems({ resetting, boot, log }: Doer): void {
  const { data } = boot.state.partitions
  if (!resetting || data === null) return
  attempt(log, 'factory reset', () => {
    markNeverFormatted(data)
    log('notice', `factory reset: the next boot formats ${data}`)
  })
}

function describe(request: Action): string {
  if ('service' in request) return `${request.type} ${JSON.stringify(request.service)}`
  return 'kind' in request ? request.kind : request.type
}

function actOnService(supervisor: Supervisor, { type, service }: Extract<Action, { service: string }>): void {
  const state = supervisor.state.services[service]
  if (state === undefined) throw new Error(`service: there is none of the name ${JSON.stringify(service)}`)
  const { withheld, reason } = state
  if (withheld && type !== 'stop') throw new Error(`${service} must not be started: ${reason}`)
  if (type !== 'start') supervisor.send({ type: 'stop-requested', service })
  if (type !== 'stop') supervisor.send({ type: 'start-requested', service })
}

/** What the boot partition says of the boot. */
function standing({ booted, storedCounter, hasOther }: Slots, { release }: BootState): Partial<BootState> {
  const counter = release?.counter ?? null
  return {
    slot: booted.slot,
    entry: booted.file,
    trial: counter !== null && hasOther && counter > (storedCounter ?? 0),
    counterFloor: Math.max(counter ?? 0, storedCounter ?? 0),
  }
}

/** The last rollback, by what slots have left to each other; one that is found out now is kept for the next boots. */
function recall(
  { booted, storedCounter, spent, passedOver }: Slots,
  { release }: BootState,
  kept: Records,
  log: OverseeContext['log'],
): Rollback | null {
  if (storedCounter === null) log('warning', 'the counter on the boot partition is damaged')
  const [known, trial] = [kept.rollback(), kept.trial()]
  const now = new Date().toISOString()
  const last = lastRollback({
    slot: booted.slot,
    counter: release?.counter ?? null,
    ...{ trial, spent, passedOver, known, now },
  })
  if (last === null || last === known) return last
  const { from, reason, at } = last
  if (known !== null && known.at === at && known.reason === reason) return known
  log('warning', `${from.slot} (${from.version ?? 'of an unknown version'}) was given up: ${reason}`)
  attempt(log, 'rollback record', () => {
    kept.writeRollback(last)
    // From now on it has a verdict: the next boot must not take it for a new one.
    if (trial !== null && isOf(trial, from))
      kept.writeTrial({ ...trial, verdict: { passed: false, reason, at } })
  })
  return last
}

function statusOf(
  { supervisor, nowMs }: OverseeContext,
  boot: BootKeeper,
  trial: Trial | null,
): MachineStatus {
  const { ready, shutdown, services } = supervisor.state
  const atMs = nowMs()
  return {
    uptimeMs: Math.round(atMs),
    ready,
    shutdown: shutdown?.kind ?? null,
    gate: trial?.status() ?? null,
    boot: boot.state,
    services: Object.values(services).map((service) => reportOf(service, atMs)),
  }
}

function attempt(log: OverseeContext['log'], what: string, act: () => void): void {
  try {
    act()
  } catch (error) {
    log('error', `${what}: ${error instanceof Error ? error.message : String(error)}`)
  }
}
