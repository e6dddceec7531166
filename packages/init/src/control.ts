/**
 * The protocol of PID 1's control socket: what may be asked, and how it answers. Each request and each answer is one
 * line of JSON. Pure: types and the reading of requests; who asks connects with whatever sockets it has.
 *
 * ```
 * → {"type":"restart","service":"web"}
 * ← {"ok":true}
 * → {"type":"watch"}
 * ← {"ok":true,"status":{…}}      at once, and whenever something has changed
 * ```
 *
 * A connection may ask one thing after the other; after `watch` it only listens.
 */
import type { BootState } from './boot-state.ts'
import type { Exit, ServiceStatus, ShutdownKind } from './core.ts'

/** Where PID 1 listens. Root, and the group that the plan names, may connect. */
export const CONTROL_SOCKET = '/run/solo/control.sock'

/** The longest request, in bytes with its newline; a longer one ends the connection. */
export const REQUEST_BYTES_MAX = 4096

/** What may be asked of PID 1. */
export type ControlRequest =
  /** How is everything? Answered with `status`. */
  | { readonly type: 'status' }
  /** The same, again whenever it changes, until the connection ends. */
  | { readonly type: 'watch' }
  /** Start, stop or restart a service. Answered when PID 1 has begun, not when it is done. */
  | { readonly type: 'start' | 'stop' | 'restart'; readonly service: string }
  /**
   * Shut down in order, a moment after the answer. Before a restart into another release services are asked whether they
   * mind, and one that does refuses it: not with `force`.
   */
  | { readonly type: 'shutdown'; readonly kind: 'reboot' | 'power-off'; readonly force?: boolean }
  /** The confirmation from outside that a trial with `gate.confirm` waits for. */
  | { readonly type: 'commit' }
  /** Give the slot that runs up, and restart into the other one. */
  | { readonly type: 'rollback' }
  /** Have the data partition formatted by the next boot, and restart. */
  | { readonly type: 'factory-reset' }

/** PID 1's answer. */
export type ControlAnswer =
  /** It was done, or begun. */
  | {
      readonly ok: true
      /** To `status` and `watch`. */
      readonly status?: MachineStatus
    }
  /** It was not. */
  | {
      readonly ok: false
      /** Why, in words. */
      readonly error: string
    }

/** How a trial stands before it is blessed. */
export interface GateStatus {
  /** `waiting`: not yet; `passed`: the slot was blessed; `failed`: it was not, and is given up if there is another. */
  readonly state: 'waiting' | 'passed' | 'failed'
  /** What it waits for, or why it failed, in words; empty when it has passed. */
  readonly reason: string
}

/** How one service is. */
export interface ServiceReport {
  /** Its name. */
  readonly name: string
  /** Where it stands; `@pkg/init/core` has the table. */
  readonly status: ServiceStatus
  /** Whether the machine is not well without it. */
  readonly required: boolean
  /** Whether it runs and has said, or shown, that it is ready. */
  readonly ready: boolean
  /** What its health probe says: null without a probe, or before the first answer. */
  readonly healthy: boolean | null
  /** Its main process; null without one. */
  readonly pid: number | null
  /** How long its main process has been running, in milliseconds; null without one. */
  readonly uptimeMs: number | null
  /** How often it was started. */
  readonly starts: number
  /** How often it ended without being asked to. */
  readonly crashes: number
  /** How its main process ended last; null when it never did. */
  readonly exit: Exit | null
  /** Why it is not running or not well, in words; empty while nothing is wrong. */
  readonly reason: string
  /** What it says of itself by sd_notify's `STATUS=`; empty when nothing. */
  readonly note: string
}

/** How everything is. */
export interface MachineStatus {
  /** Milliseconds since the machine started. */
  readonly uptimeMs: number
  /** Whether the boot is over: each service runs and is ready, or has failed to. */
  readonly ready: boolean
  /** The shutdown that is under way; null while none is. */
  readonly shutdown: ShutdownKind | null
  /** The gate before the blessing; null where nothing is counted. */
  readonly gate: GateStatus | null
  /** The boot, as in boot.json. */
  readonly boot: BootState
  /** The services, in the order of the plan. */
  readonly services: readonly ServiceReport[]
}

/**
 * Reads a request.
 *
 * @param line - one line, without its newline
 * @throws TypeError with what is wrong, to be sent back
 * @example
 * ```ts
 * import { parseControlRequest } from '@pkg/init/control'
 *
 * console.log(parseControlRequest('{ "type": "stop", "service": "web" }')) // { type: 'stop', service: 'web' }
 * ```
 */
export function parseControlRequest(line: string): ControlRequest {
  const value = objectOf(line)
  const { type } = value
  switch (type) {
    case 'status':
    case 'watch':
    case 'commit':
    case 'rollback':
    case 'factory-reset':
      expectKeys(value, ['type'])
      return { type }
    case 'start':
    case 'stop':
    case 'restart': {
      expectKeys(value, ['type', 'service'])
      const { service } = value
      if (typeof service !== 'string') throw new TypeError('service: expected the name of a service')
      return { type, service }
    }
    case 'shutdown': {
      expectKeys(value, ['type', 'kind', 'force'])
      const { kind, force } = value
      if (kind !== 'reboot' && kind !== 'power-off')
        throw new TypeError('kind: expected "reboot" or "power-off"')
      if (force === undefined) return { type, kind }
      if (typeof force !== 'boolean') throw new TypeError('force: expected true or false')
      return { type, kind, force }
    }
    default:
      throw new TypeError(`type: expected one of ${types.join(', ')}`)
  }
}

const types = [
  'status',
  'watch',
  'start',
  'stop',
  'restart',
  'shutdown',
  'commit',
  'rollback',
  'factory-reset',
]

function objectOf(line: string): Record<string, unknown> {
  let value: unknown
  try {
    value = JSON.parse(line)
  } catch {
    throw new TypeError('expected one line of JSON')
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new TypeError('expected an object')
  return { ...value }
}

/** A misspelt key must not be ignored: `{ "type": "shutdown", "knid": … }`. */
function expectKeys(value: Record<string, unknown>, known: readonly string[]): void {
  for (const key of Object.keys(value)) {
    if (!known.includes(key)) throw new TypeError(`${key}: no such key; expected ${known.join(', ')}`)
  }
}
