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
import { runSteps } from './boot/steps.ts'
import type { LogPriority } from './core.ts'
import { openConsole, type Console } from './log/console.ts'
import { makeHands } from './main/hands.ts'
import { lastResort } from './main/last-resort.ts'
import { bootFileSystems, bootMachine } from './main/machine.ts'
import { startNetwork } from './main/network.ts'
import { parseOptions, usage, type Mode, type Options } from './main/options.ts'
import { NETWORK_ONLINE, parsePlan, type Plan } from './plan.ts'
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
  scrubEnvironment()
  // Until the first descriptor is watched, and should all watches ever be gone: the loop must not run empty.
  setInterval(() => {}, 0x7fff_ffff)
  const mode = options.mode ?? (ownsMachine() ? 'machine' : 'container')
  const early: { priority: LogPriority; text: string }[] = []
  if (mode === 'machine') {
    // The console is in /dev, so what is said before it is mounted has to wait.
    bootFileSystems({ nowMs: uptimeMs, log: (priority, text) => early.push({ priority, text }) })
  }
  const console = openConsole(options.console ?? (mode === 'machine' ? '/dev/console' : '-'), uptimeMs)
  const log = makeLog(console, options.debug)
  surviveErrors(log)
  for (const { priority, text } of early) log(priority, text)
  const plan = readPlan(options.plan)
  if ('problem' in plan) return cannotGoOn(console, plan)
  run({ options, mode, console, log, plan })
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

function run({ options, mode, console, log, plan }: Running): void {
  let cgroups: string | null = null
  const findCgroups = (): string =>
    (cgroups = prepareCgroups(options.cgroup)) ?? 'not there: killing by group'
  runSteps([{ name: 'control groups', run: findCgroups }], uptimeMs, log)
  const exits = exitWaiters()
  function reapAll(): boolean {
    const left = reap((child) => supervisor.send({ type: 'process-exited', ...child }))
    if (left === 'more') setImmediate(reapAll)
    exits.wake()
    return left === 'childless'
  }
  const seed = Number(clock_gettime(CLOCK_BOOTTIME) & 0xffff_ffffn)
  const supervisor: Supervisor = supervise(
    plan,
    makeHands({
      ownsMachine: ownsMachine(),
      console,
      cgroups,
      nowMs: uptimeMs,
      log,
      isChildless: reapAll,
      nextExit: exits.next,
    }),
    seed,
  )
  watchSignals([SIGCHLD], reapAll)
  takeShutdownSignals(supervisor, log)
  // What ended before the signal was watched.
  reapAll()
  if (mode === 'machine') {
    const onPowerButton = (): void => {
      log('notice', 'power button')
      supervisor.send({ type: 'shutdown-requested', kind: 'power-off', immediate: false })
    }
    bootMachine({ plan, nowMs: uptimeMs, log, onPowerButton })
  }
  const online = (): void => supervisor.send({ type: 'milestone', name: NETWORK_ONLINE })
  if (mode === 'machine' && plan.network.dhcp) startNetwork(plan.hostname, log, online)
  else online()
  supervisor.send({ type: 'boot-finished' })
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
