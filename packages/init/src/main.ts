/**
 * The program that is PID 1: `bun init.js`. It boots, starts the services of the plan, and never exits.
 *
 * Importing this module does nothing; running it does. Lines go to the console as `[uptime] init: text` and
 * `[uptime] service: text`; the boot ends with one line:
 * `init: ready in 612 ms: 2 services running, 0 failed, resident 28.1 MiB`.
 *
 * TERM, PWR and USR2 power off, INT reboots, USR1 halts; RTMIN+3 … +6 halt, power off, reboot and kexec, and
 * RTMIN+13 … +16 do so at once, as with systemd.
 */
import { AT_FDCWD, CLOCK_BOOTTIME, SIGCHLD, SIGHUP, SIGPIPE, SIGQUIT } from '@pkg/sys/constants'
import { readlinkat } from '@pkg/sys/fs'
import { getpid } from '@pkg/sys/process'
import { watchSignals } from '@pkg/sys/signal'
import { clock_gettime } from '@pkg/sys/time'
import { prepareCgroups } from './boot/cgroups.ts'
import { runSteps, type BootStep } from './boot/steps.ts'
import type { LogPriority } from './core.ts'
import { hasVersionedData } from './data/declared.ts'
import { openConsole, type Console } from './log/console.ts'
import { makeHands } from './main/hands.ts'
import { lastResort } from './main/last-resort.ts'
import { listenToServices } from './main/listening.ts'
import { bootFileSystems, bootMachine } from './main/machine.ts'
import { startNetwork } from './main/network.ts'
import { parseOptions, usage, type Mode, type Options } from './main/options.ts'
import { readRelease } from './main/boot-keeper.ts'
import type { Oversight } from './main/oversee.ts'
import { storage, type Storage } from './main/storage.ts'
import { keepTime } from './main/time.ts'
import { keepAlive } from './main/watchdog.ts'
import { NETWORK_ONLINE, parsePlan, type Plan } from './plan.ts'
import { prober } from './shell/prober.ts'
import { programs, type Programs } from './shell/programs.ts'
import { reap } from './shell/reaper.ts'
import { shutdownSignals, watchShutdownSignals } from './shell/signals.ts'
import { supervise, type Supervisor } from './shell/supervisor.ts'
import { readText } from './shell/text-file.ts'

/** PROC_PID_INIT_INO of linux/proc_ns.h: the inode of the machine's first pid namespace. */
const FIRST_PID_NAMESPACE = 'pid:[4026531836]'

/**
 * Runs as PID 1. Returns once the services are started; the process then lives on its reactor and timers.
 *
 * @param args - the command line without program and script
 */
export async function main(args: readonly string[]): Promise<void> {
  const options = readOptions(args)
  if (options === null) return
  const watched = keepAlive(process.env)
  scrubEnvironment()
  // Until the first descriptor is watched, and should all watches ever be gone: the loop must not run empty.
  setInterval(() => {}, 0x7fff_ffff)
  const mode = options.mode ?? (ownsMachine() ? 'machine' : 'container')
  const early: { priority: LogPriority; text: string }[] = []
  if (mode === 'machine') {
    // The console is in /dev, so what is said before it is mounted has to wait.
    await bootFileSystems({ nowMs: uptimeMs, log: (priority, text) => early.push({ priority, text }) })
  }
  const console = openConsole(options.console ?? (mode === 'machine' ? '/dev/console' : '-'), uptimeMs)
  const log = makeLog(console, options.debug)
  surviveErrors(log)
  for (const { priority, text } of early) log(priority, text)
  if (watched) log('info', 'watchdog: armed')
  const plan = readPlan(options.plan)
  if ('problem' in plan) return cannotGoOn(console, plan)
  await run({ options, mode, console, log, plan })
}

function readOptions(args: readonly string[]): Options | null {
  if (args.includes('--help')) {
    process.stdout.write(usage)
    return null
  }
  try {
    const options = parseOptions(args)
    if (getpid() === 1) return options
    process.stderr.write(`init: this is process ${getpid()}, not PID 1\n${usage}`)
  } catch (error) {
    process.stderr.write(`init: ${error instanceof Error ? error.message : String(error)}\n${usage}`)
  }
  process.exitCode = 2
  return null
}

/** The kernel turns unknown `name=value` words of its command line into init's environment. */
function scrubEnvironment(): void {
  for (const name of Object.keys(process.env)) delete process.env[name]
}

/** Whether this is the machine's PID 1. Only that one may unmount, and must never exit. */
function ownsMachine(): boolean {
  return readlinkat(AT_FDCWD, '/proc/self/ns/pid') === FIRST_PID_NAMESPACE
}

/** Milliseconds since the machine started, suspended time included: what the kernel's own log shows. */
function uptimeMs(): number {
  return Number(clock_gettime(CLOCK_BOOTTIME)) / 1e6
}

function makeLog(console: Console, debug: boolean): (priority: LogPriority, text: string) => void {
  return (priority, text) => {
    if (priority === 'debug' && !debug) return
    for (const line of text.split('\n')) console.line('init', line)
  }
}

/** Nothing ends PID 1: the kernel would panic. */
function surviveErrors(log: (priority: LogPriority, text: string) => void): void {
  const report = (what: string) => {
    return (error: unknown) => {
      log('error', `${what}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`)
    }
  }
  process.on('uncaughtException', report('uncaught exception'))
  process.on('unhandledRejection', report('unhandled rejection'))
}

interface NoPlan {
  readonly problem: string
  /** Whether the plan, wrong as it is, allows a shell: by its own words only. */
  readonly allowShell: boolean
}

function readPlan(path: string): Plan | NoPlan {
  let text = ''
  try {
    text = readText(path)
    return parsePlan(text, path)
  } catch (error) {
    const problem = error instanceof Error ? error.message : String(error)
    return { problem, allowShell: /"allowEmergencyShell"\s*:\s*true\b/.test(text) }
  }
}

async function cannotGoOn(console: Console, { problem, allowShell }: NoPlan): Promise<void> {
  if (ownsMachine()) return lastResort(console, problem, allowShell)
  console.line('init', problem)
  await console.settle(1000)
  // EX_CONFIG of sysexits.h: whoever runs the container sees it.
  process.exit(78)
}

interface Running {
  readonly options: Options
  readonly mode: Mode
  readonly console: Console
  readonly log: (priority: LogPriority, text: string) => void
  readonly plan: Plan
}

async function run(running: Running): Promise<void> {
  const { options, mode, console, log, plan } = running
  let cgroups: string | null = null
  const findCgroups = (): string =>
    (cgroups = prepareCgroups(options.cgroup)) ?? 'not there: killing by group'
  await runSteps([{ name: 'control groups', run: findCgroups }], uptimeMs, log)
  const exits = exitWaiters()
  const own = programs(uptimeMs)
  const restart = (): void =>
    supervisor.send({ type: 'shutdown-requested', kind: 'reboot', immediate: false })
  const disk =
    mode === 'machine' && plan.storage !== null
      ? storage(plan.storage, { programs: own, log, restart })
      : null
  function reapAll(): boolean {
    const left = reap((child) => {
      if (!own.reaped(child)) supervisor.send({ type: 'process-exited', ...child })
    })
    if (left === 'more') setImmediate(reapAll)
    exits.wake()
    return left === 'childless'
  }
  const seed = Number(clock_gettime(CLOCK_BOOTTIME) & 0xffff_ffffn)
  let oversight: Oversight | null = null
  const hasCgroups = cgroups !== null
  const notifySocket = listenToServices({
    ...{ plan, run: options.run, hasCgroups, supervisor: () => supervisor, log },
  })
  const supervisor: Supervisor = supervise(
    plan,
    makeHands({
      ...{ ownsMachine: ownsMachine(), console, cgroups, notifySocket, nowMs: uptimeMs, log },
      prober: prober(own, (answer) => supervisor.send({ type: 'probed', ...answer })),
      isChildless: reapAll,
      nextExit: exits.next,
      onFileSystemsEnd: () => oversight?.fileSystemsEnd(),
      onFileSystemsEnded: () => oversight?.fileSystemsEnded(),
    }),
    seed,
    () => oversight?.changed(),
  )
  watchSignals([SIGCHLD], reapAll)
  takeShutdownSignals(supervisor, log)
  // What ended before the signal was watched.
  reapAll()
  const onOversight = (made: Oversight): void => void (oversight = made)
  await boot({ ...running, supervisor, disk, cgroups, programs: own, onOversight })
}

interface Booting extends Running {
  readonly supervisor: Supervisor
  readonly disk: Storage | null
  readonly cgroups: string | null
  readonly programs: Programs
  readonly onOversight: (oversight: Oversight) => void
}

/** From the first step to the start of the services. */
async function boot(booting: Booting): Promise<void> {
  const { options, mode, log, plan, supervisor, disk, onOversight } = booting
  const release = readRelease(log)
  let oversight: Oversight | null = null
  const time = keepTime({
    ...{ release, servers: plan.time.servers, log },
    // In a namespace the clock is that of another machine.
    ownsClock: ownsMachine(),
    keeps: () => disk?.keeps() ?? false,
    onChange: () => oversight?.clockChanged(),
  })
  if (mode === 'machine') {
    const onPowerButton = (): void => {
      log('notice', 'power button')
      supervisor.send({ type: 'shutdown-requested', kind: 'power-off', immediate: false })
    }
    await bootMachine({ plan, nowMs: uptimeMs, log, storage: disk, time, onPowerButton })
  }
  const overseeAll = async (): Promise<void> => {
    const { oversee } = await import('./main/oversee.ts')
    const context = { ...booting, run: options.run, isMachine: mode === 'machine', release, time }
    const means = { nowMs: uptimeMs, onLine: lineOf(booting.console), onBlessed: data.blessed }
    onOversight((oversight = oversee({ ...context, ...means })))
  }
  const data = dataOfServices(booting, (step) => oversight?.preparing(step))
  // Whatever is wrong with it, the services are what the machine is for.
  await runSteps([{ name: 'oversight', run: overseeAll }], uptimeMs, log)
  const onOnline = (): void => {
    supervisor.send({ type: 'milestone', name: NETWORK_ONLINE })
    time.start()
  }
  const onTimeServers = (addresses: readonly string[]): void => time.namedByNetwork(addresses)
  if (mode === 'machine' && plan.network.dhcp)
    startNetwork({ hostname: plan.hostname, log, onOnline, onTimeServers })
  else onOnline()
  await runSteps(data.steps, uptimeMs, log)
  await runSteps([{ name: 'gate', run: () => oversight?.begin() }], uptimeMs, log)
  supervisor.send({ type: 'boot-finished' })
}

/** The step before services start that looks after their data; none where nobody has ever said anything of them. */
function dataOfServices(
  booting: Booting,
  onWork: (step: string) => void,
): { readonly steps: readonly BootStep[]; readonly blessed: () => void } {
  const context = { ...booting, nowMs: uptimeMs, onWork, onLine: lineOf(booting.console) }
  if (!hasVersionedData(booting.plan)) return { steps: [], blessed: () => {} }
  const load = async (): Promise<typeof import('./main/data.ts')> => await import('./main/data.ts')
  return {
    steps: [{ name: 'data', run: async () => await (await load()).prepareServices(context) }],
    blessed: () => void load().then(({ dropSnapshots }) => dropSnapshots(context)),
  }
}

/** Takes the lines of hooks. */
function lineOf(console: Console): (source: string, text: string) => void {
  return (source, text) => console.line(source, text)
}

function takeShutdownSignals(supervisor: Supervisor, log: Running['log']): void {
  watchShutdownSignals((request, signal) => {
    log('notice', `signal ${signal}: ${request.kind}`)
    supervisor.send({ type: 'shutdown-requested', ...request })
  })
  // Signals with another meaning elsewhere must not end PID 1 of a container by their default action.
  const others = [SIGHUP, SIGQUIT, SIGPIPE].filter((signal) => !shutdownSignals.has(signal))
  watchSignals(others, ({ signo }) => log('debug', `signal ${signo}: nothing to do`))
}

/** Lets the shutdown wait for the next child to end. */
function exitWaiters(): { next: () => Promise<void>; wake: () => void } {
  let waiting = Promise.withResolvers<void>()
  return {
    next: () => waiting.promise,
    wake() {
      waiting.resolve()
      waiting = Promise.withResolvers()
    },
  }
}

if (import.meta.main) void main(process.argv.slice(2))
