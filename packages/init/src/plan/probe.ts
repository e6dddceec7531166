/** The parts of the plan that say how a service shows that it is ready, and that it is well. */
import { below, maxTimeMs, readArray, readInteger, readObject, readString, report } from './read.ts'
import type { JsonObject, Problems } from './read.ts'

/** A port of this machine that has to accept a connection. */
export interface TcpProbe {
  /** The port, on 127.0.0.1. */
  readonly tcp: {
    /** Its number. */
    readonly port: number
  }
}

/** A web server of this machine that has to answer. Without TLS: for a server with TLS, probe its port. */
export interface HttpProbe {
  /** What is asked, by GET on 127.0.0.1. */
  readonly http: {
    /** The port. */
    readonly port: number
    /** The path, with its query. Default: `/`. */
    readonly path: string
    /** The status that it has to answer with. Default: 200. */
    readonly status: number
  }
}

/** A program that has to end with status 0. */
export interface CommandProbe {
  /** The program, by its absolute path, and its arguments. */
  readonly command: readonly string[]
}

/** A question that is asked from outside. */
export type Probe = TcpProbe | HttpProbe | CommandProbe

/** Readiness that the service tells itself: `READY=1` by sd_notify(3), to the socket in NOTIFY_SOCKET. */
export interface NotifyReadiness {
  /** Always true. */
  readonly notify: true
}

/** When a service counts as ready. */
export type Readiness =
  | 'started'
  | ((NotifyReadiness | Probe) & {
      /** A service that is not ready after this time, in milliseconds, is started again. Default: 90 000. */
      readonly timeoutMs: number
    })

/** How the health of a service is probed. */
export type HealthPlan = Probe & {
  /** Time from one answer to the next question, in milliseconds. Default: 10 000. */
  readonly intervalMs: number
  /** How long an answer may take, in milliseconds. Default: 5000. */
  readonly timeoutMs: number
  /** After so many bad answers in a row the service is started again. Default: 3. */
  readonly failures: number
}

const probeKeys = ['tcp', 'http', 'command']

/** As systemd's DefaultTimeoutStartSec (systemd-system.conf(5)). */
const READY_MS = 90_000

/** Reads `ready` of a service. */
export function readReadiness(problems: Problems, path: string, value: unknown): Readiness {
  if (value === 'started') return value
  if (typeof value === 'string') {
    report(problems, path, '"started", or an object with notify, tcp, http or command', value)
    return 'started'
  }
  const ready = readObject(problems, path, value, ['notify', ...probeKeys, 'timeoutMs'])
  const timeout = ready['timeoutMs'] ?? READY_MS
  const timeoutMs = readInteger(problems, below(path, 'timeoutMs'), timeout, 1, maxTimeMs)
  if (!('notify' in ready)) return { ...readOneProbe(problems, path, ready), timeoutMs }
  if (ready['notify'] !== true) report(problems, below(path, 'notify'), 'true', ready['notify'])
  for (const key of probeKeys) {
    if (key in ready) report(problems, below(path, key), 'nothing beside notify', ready[key])
  }
  return { notify: true, timeoutMs }
}

/** Reads `health` of a service. */
export function readHealth(problems: Problems, path: string, value: unknown): HealthPlan | null {
  if (value === null) return null
  const health = readObject(problems, path, value, [...probeKeys, 'intervalMs', 'timeoutMs', 'failures'])
  const number = (key: string, normal: number, most: number): number =>
    readInteger(problems, below(path, key), health[key] ?? normal, 1, most)
  return {
    ...readOneProbe(problems, path, health),
    intervalMs: number('intervalMs', 10_000, maxTimeMs),
    timeoutMs: number('timeoutMs', 5000, maxTimeMs),
    failures: number('failures', 3, 1000),
  }
}

/** Reads an object that is a probe and nothing else. */
export function readProbe(problems: Problems, path: string, value: unknown): Probe {
  return readOneProbe(problems, path, readObject(problems, path, value, probeKeys))
}

function readOneProbe(problems: Problems, path: string, value: JsonObject): Probe {
  const [kind, another] = probeKeys.filter((key) => key in value)
  if (another !== undefined) report(problems, path, 'one of tcp, http and command', value)
  const at = below(path, kind ?? 'tcp')
  if (kind === 'command') {
    const words = readArray(problems, at, value[kind], (where, each) => readString(problems, where, each))
    if (!words[0]?.startsWith('/')) report(problems, `${at}[0]`, 'the absolute path of a program', words[0])
    return { command: words }
  }
  if (kind === undefined) {
    report(problems, path, 'one of tcp, http and command', value)
    return { tcp: { port: 1 } }
  }
  const known = kind === 'tcp' ? ['port'] : ['port', 'path', 'status']
  const asked = readObject(problems, at, value[kind], known)
  const port = readInteger(problems, below(at, 'port'), asked['port'], 1, 65_535)
  if (kind === 'tcp') return { tcp: { port } }
  return {
    http: {
      port,
      // Nothing that could end the request's first line.
      path: readString(problems, below(at, 'path'), asked['path'] ?? '/', 'a path', /^\/[!-~]*$/),
      status: readInteger(problems, below(at, 'status'), asked['status'] ?? 200, 100, 599),
    },
  }
}
