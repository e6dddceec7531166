/** The part of the plan that is about one service. */
import { capabilityNames } from './capabilities.ts'
import { readData, type DataPlan } from './data.ts'
import { readHook, type HookPlan, type HookTime } from './hook.ts'
import { readLimits, type LimitsPlan } from './limits.ts'
import { readHealth, readReadiness, type HealthPlan, type Readiness } from './probe.ts'
import {
  below,
  maxId,
  maxTimeMs,
  readArray,
  readBoolean,
  readInteger,
  readObject,
  readRecord,
  readString,
  report,
  type Problems,
} from './read.ts'

/** When a service that has ended is started again. */
export type RestartPolicy = 'always' | 'on-failure' | 'never'

/** The growing delay before a service is started again. */
export interface RestartDelay {
  /** Delay after the first failure, in milliseconds. */
  readonly initial: number
  /** The delay never grows beyond this, in milliseconds. */
  readonly max: number
  /** Each failure in a row multiplies the delay by this; at least 1. */
  readonly factor: number
}

/** One service. */
export interface ServicePlan {
  /** Its name: letters, digits, `-` and `_`; also the name of its cgroup and the prefix of its log lines. */
  readonly name: string
  /** Program and arguments; the program is an absolute path, no shell is involved. */
  readonly command: readonly string[]
  /** The whole environment besides PATH and HOME; nothing is inherited from PID 1. Default: empty. */
  readonly environment: Readonly<Record<string, string>>
  /** User id of the process. */
  readonly uid: number
  /** Group id of the process. */
  readonly gid: number
  /** Supplementary groups. Default: none. */
  readonly groups: readonly number[]
  /** Folder that the process starts in. Default: `/`. */
  readonly workingDirectory: string
  /**
   * When to start it again after it has ended. A failure is a status other than 0 or a signal other than HUP,
   * INT, TERM and PIPE, as systemd counts. Default: `always`.
   */
  readonly restart: RestartPolicy
  /** Delay before starting it again. Default: 100 ms, doubling up to 30 s. */
  readonly restartDelayMs: RestartDelay
  /** Give up after so many ends in a row without a stable run; 0 (the default) never gives up. */
  readonly restartLimit?: number
  /** Number of the signal that asks it to stop. Default: 15 (SIGTERM). */
  readonly stopSignal: number
  /** How long it may take to stop before its whole cgroup is killed, in milliseconds. Default: 10 000. */
  readonly stopTimeoutMs: number
  /**
   * Start only when these services are ready (or have failed to be), and stop before they are stopped.
   * `network-online` stands for "the network is configured, or it was given up". Default: none.
   */
  readonly after: readonly string[]
  /** When it counts as ready. Default: `started`, as soon as its process runs. */
  readonly ready: Readiness
  /** How its health is probed once it is ready; null, the default, for not at all. */
  readonly health: HealthPlan | null
  /**
   * Once it is ready it has to send `WATCHDOG=1` by sd_notify within each such time, in milliseconds, or it is started
   * again. 0, the default, for no watchdog.
   */
  readonly watchdogMs: number
  /** Whether the machine is not well without it: a trial waits for it to be ready and healthy. Default: true. */
  readonly required: boolean
  /**
   * The capabilities that it and everything it starts may have, by name (`CAP_NET_ADMIN`); they are ambient, so a user
   * that is not root has them too. null, the default: all for root, none for others.
   */
  readonly capabilities: readonly string[] | null
  /** What it may take of the machine. Default: all there is. */
  readonly limits: LimitsPlan
  /** The format of its data, and how it gets from one version to the next; null, the default, when it says nothing. */
  readonly data: DataPlan | null
  /**
   * Runs while the service does, before the machine restarts into another release because it was asked to by the control
   * socket; finds that release's version in `SOLO_UPDATE_TO`. When it fails there is no restart, and who asked gets the
   * reason. Has 10 seconds unless it says otherwise, and at most 20. null, the default, for nothing.
   */
  readonly beforeUpdate: HookPlan | null
}

const serviceKeys = [
  'name',
  'command',
  'environment',
  'uid',
  'gid',
  'groups',
  'workingDirectory',
  'restart',
  'restartDelayMs',
  'restartLimit',
  'stopSignal',
  'stopTimeoutMs',
  'after',
  'ready',
  'health',
  'watchdogMs',
  'required',
  'capabilities',
  'limits',
  'data',
  'beforeUpdate',
]

/** Who asks waits for the answer: at the other end of the agent's API for 30 seconds. */
const BEFORE_UPDATE_TIME: HookTime = { normalMs: 10_000, mostMs: 20_000 }

/** Dots are left out: the kernel's own files in a cgroup (`cgroup.procs`) all have one. */
const namePattern = /^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$/
const restartPolicies: readonly string[] = ['always', 'on-failure', 'never']

/** Reads one of `services`. */
export function readService(problems: Problems, path: string, value: unknown): ServicePlan {
  const service = readObject(problems, path, value, serviceKeys)
  const at = (key: string): string => below(path, key)
  const id = (where: string, each: unknown): number => readInteger(problems, where, each, 0, maxId)
  return {
    name: readString(
      problems,
      at('name'),
      service['name'],
      'a name of letters, digits, - and _',
      namePattern,
    ),
    command: readCommand(problems, at('command'), service['command']),
    environment: readRecord(
      problems,
      at('environment'),
      service['environment'] ?? {},
      'the name of a variable',
      /^[A-Za-z_]\w*$/,
    ),
    uid: id(at('uid'), service['uid']),
    gid: id(at('gid'), service['gid']),
    groups: readArray(problems, at('groups'), service['groups'] ?? [], id),
    workingDirectory: readString(
      problems,
      at('workingDirectory'),
      service['workingDirectory'] ?? '/',
      'an absolute path',
      /^\//,
    ),
    restart: readRestart(problems, at('restart'), service['restart'] ?? 'always'),
    restartDelayMs: readDelay(problems, at('restartDelayMs'), service['restartDelayMs'] ?? {}),
    restartLimit: readInteger(problems, at('restartLimit'), service['restartLimit'] ?? 0, 0, 1_000_000),
    stopSignal: readInteger(problems, at('stopSignal'), service['stopSignal'] ?? 15, 1, 64),
    stopTimeoutMs: readInteger(
      problems,
      at('stopTimeoutMs'),
      service['stopTimeoutMs'] ?? 10_000,
      0,
      maxTimeMs,
    ),
    after: readArray(problems, at('after'), service['after'] ?? [], (where, each) => {
      return readString(problems, where, each, 'the name of a service')
    }),
    ready: readReadiness(problems, at('ready'), service['ready'] ?? 'started'),
    health: readHealth(problems, at('health'), service['health'] ?? null),
    watchdogMs: readInteger(problems, at('watchdogMs'), service['watchdogMs'] ?? 0, 0, maxTimeMs),
    required: readBoolean(problems, at('required'), service['required'] ?? true),
    capabilities: readCapabilities(problems, at('capabilities'), service['capabilities'] ?? null),
    limits: readLimits(problems, at('limits'), service['limits'] ?? {}),
    data: readData(problems, at('data'), service['data'] ?? null),
    beforeUpdate: readHook(problems, at('beforeUpdate'), service['beforeUpdate'] ?? null, BEFORE_UPDATE_TIME),
  }
}

function readCapabilities(problems: Problems, path: string, value: unknown): string[] | null {
  if (value === null) return null
  return readArray(problems, path, value, (where, each) => {
    if (typeof each === 'string' && capabilityNames.includes(each)) return each
    report(problems, where, 'the name of a capability, such as CAP_NET_ADMIN', each)
    return ''
  })
}

function readCommand(problems: Problems, path: string, value: unknown): string[] {
  const command = readArray(problems, path, value, (where, each) => readString(problems, where, each))
  if (Array.isArray(value) && !command[0]?.startsWith('/')) {
    report(problems, `${path}[0]`, 'the absolute path of a program', command[0])
  }
  return command
}

function readRestart(problems: Problems, path: string, value: unknown): RestartPolicy {
  if (value === 'always' || value === 'on-failure' || value === 'never') return value
  report(problems, path, `one of ${restartPolicies.join(', ')}`, value)
  return 'always'
}

function readDelay(problems: Problems, path: string, value: unknown): RestartDelay {
  const delay = readObject(problems, path, value, ['initial', 'max', 'factor'])
  const initial = readInteger(problems, below(path, 'initial'), delay['initial'] ?? 100, 0, maxTimeMs)
  const max = readInteger(
    problems,
    below(path, 'max'),
    delay['max'] ?? Math.max(30_000, initial),
    0,
    maxTimeMs,
  )
  const factor = delay['factor'] ?? 2
  if (max < initial) report(problems, below(path, 'max'), `at least initial (${initial})`, max)
  if (typeof factor !== 'number' || !(factor >= 1 && factor <= 100)) {
    report(problems, below(path, 'factor'), 'a number from 1 to 100', factor)
    return { initial, max, factor: 1 }
  }
  return { initial, max, factor }
}
