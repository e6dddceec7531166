/**
 * A vitest worker in a guest: vitest's own runtime (`vitest/worker`), whose messages travel as frames, and for which
 * the host reads and writes what is on the host's disk: snapshots, coverage, transformed modules.
 */
import { mkdirSync, readFileSync } from 'node:fs'
import type * as VitestRuntime from 'vitest/runtime'
import type * as VitestWorker from 'vitest/worker'
import type { RunnerTestCase, RunnerTestFile, WorkerGlobalState } from 'vitest'
import { reseed } from '../../guest/own-randomness.ts'
import { decodeValue, encodeValue } from '../clone.ts'
import {
  FRAME,
  frame,
  type FrameKind,
  type Progress,
  type RunningTest,
  type WorkerProgram,
} from '../frames.ts'
import type { HostCalls } from '../host-calls.ts'
import { Locations } from './locations.ts'
import { StackMapper } from './stacks.ts'

/** The stream to the host, as the bootstrap gives it. */
export interface WorkerChannel {
  /** Sends a whole frame; never blocks. */
  send(frame: Uint8Array): void
  /** Sets the listener for every frame that the bootstrap does not handle itself. */
  onFrame(listener: (kind: number, body: Uint8Array) => void): void
  /** Takes PID 1's own listeners for errors that nobody catches away: vitest's are there, and are to be the only ones. */
  takeErrors(): void
  /** Ends this process, whatever the tests made of `process.exit`. */
  exit(code: number): void
}

/** What the bootstrap calls. */
export interface WorkerModule {
  start(channel: WorkerChannel, program: WorkerProgram): Promise<void>
}

/** A message of birpc, vitest's protocol between worker and pool. */
interface RpcRequest {
  t?: 'q'
  m?: string
  a?: unknown[]
}

/** Loads vitest's runtime and answers its pool. */
export async function start(channel: WorkerChannel, program: WorkerProgram): Promise<void> {
  const host = new Host(channel, program.folder)
  const load = async (name: string): Promise<unknown> => import(`${program.vitestDist}/${name}.js`)
  const vitest = (await load('worker')) as typeof VitestWorker
  const { VitestSnapshotEnvironment } = (await load('runtime')) as typeof VitestRuntime

  class HostSnapshots extends VitestSnapshotEnvironment {
    override saveSnapshotFile(path: string, snapshot: string): Promise<void> {
      return host.call('writeText', path, snapshot)
    }
    override readSnapshotFile(path: string): Promise<string | null> {
      return host.call('readText', path)
    }
    override removeSnapshotFile(path: string): Promise<void> {
      return host.call('remove', path)
    }
  }

  const locations = new Locations()
  let isShowingLocations = false
  const prepare = (state: WorkerGlobalState): void => {
    isShowingLocations = state.config.includeTaskLocation === true
    state.config.includeTaskLocation = true
    const { snapshotOptions, snapshotEnvironment, coverage } = state.config
    if (!snapshotEnvironment) snapshotOptions.snapshotEnvironment ??= new HostSnapshots()
    // The coverage providers write here; `onAfterSuiteRun` takes it to the host.
    const { coverageFilesDirectory } = coverage as { coverageFilesDirectory?: string }
    if (coverage.enabled && coverageFilesDirectory) mkdirSync(coverageFilesDirectory, { recursive: true })
    reportProgress(state, channel, locations)
  }

  const stacks = new StackMapper()
  vitest.init({
    post: (message: unknown) => {
      const { m: method, a: parameters } = message as RpcRequest
      if (method === 'onAfterSuiteRun') sendCoverage(host, parameters?.[0])
      if (method === 'onCollected' && !isShowingLocations)
        locations.takeFrom(parameters?.[0] as RunnerTestFile[])
      stacks.mend(method, parameters ?? [])
      channel.send(frame(FRAME.message, encodeValue(message)))
    },
    on: (listener) => host.onMessage(listener),
    off: (listener) => host.offMessage(listener),
    onModuleRunner: () => {
      stacks.install()
      channel.takeErrors()
    },
    setup: vitest.setupEnvironment,
    runTests: (state, traces) => {
      prepare(state)
      return vitest.runBaseTests('run', state, traces)
    },
    collectTests: (state, traces) => {
      prepare(state)
      return vitest.runBaseTests('collect', state, traces)
    },
  })
  channel.send(frame(FRAME.loaded))
}

type Listener = (message: unknown) => void

/** The host, seen from the guest. */
class Host {
  readonly #channel: WorkerChannel
  readonly #folder: string
  readonly #listeners = new Set<Listener>()
  readonly #pending = new Map<number, (error: string | null, value: unknown) => void>()
  #lastId = 0

  constructor(channel: WorkerChannel, folder: string) {
    this.#channel = channel
    this.#folder = folder
    channel.onFrame((kind, body) => this.#receive(kind as FrameKind, body))
  }

  onMessage(listener: Listener): void {
    this.#listeners.add(listener)
  }

  offMessage(listener: Listener): void {
    this.#listeners.delete(listener)
  }

  /** Has the host do something with its files. */
  call<K extends keyof HostCalls>(
    name: K,
    ...parameters: Parameters<HostCalls[K]>
  ): Promise<Awaited<ReturnType<HostCalls[K]>>> {
    const id = ++this.#lastId
    const { promise, resolve, reject } = Promise.withResolvers<Awaited<ReturnType<HostCalls[K]>>>()
    this.#pending.set(id, (error, value) => {
      if (error === null) resolve(value as Awaited<ReturnType<HostCalls[K]>>)
      else reject(new Error(error))
    })
    this.#channel.send(frame(FRAME.call, encodeValue([id, name, parameters])))
    return promise
  }

  #renew(env: Record<string, string>): void {
    Object.assign(process.env, env)
    // The project's folder may have been mounted over the one that it was.
    process.chdir(this.#folder)
    let problem: string | null = null
    try {
      reseed()
    } catch (error) {
      problem = error instanceof Error ? error.message : String(error)
    }
    this.#channel.send(frame(FRAME.renewed, encodeValue([process.pid, problem])))
  }

  #receive(kind: FrameKind, body: Uint8Array): void {
    if (kind === FRAME.ping) return this.#channel.send(frame(FRAME.pong))
    const value = decodeValue(new TextDecoder().decode(body))
    if (kind === FRAME.renew) return this.#renew(value as Record<string, string>)
    if (kind === FRAME.message) for (const listener of this.#listeners) listener(value)
    if (kind !== FRAME.result) return
    const [id, error, result] = value as [number, string | null, unknown]
    this.#pending.get(id)?.(error, result)
    this.#pending.delete(id)
  }
}

/** A coverage provider wrote a file in the guest and tells the host its name: send the file first. */
function sendCoverage(host: Host, meta: unknown): void {
  const path = (meta as { coverage?: unknown } | undefined)?.coverage
  if (typeof path === 'string') void host.call('writeText', path, readFileSync(path, 'utf8'))
}

/**
 * Tells the host at once which test begins: vitest's own updates are gathered for a tenth of a second, and a worker
 * that dies takes them along. vitest's runner sets `state.current` before and after each test.
 */
function reportProgress(state: WorkerGlobalState, channel: WorkerChannel, locations: Locations): void {
  let current = state.current
  /** Those that have begun and are not known to have ended: of concurrent ones `current` is the last. */
  const begun = new Map<string, RunnerTestCase>()
  Object.defineProperty(state, 'current', {
    configurable: true,
    enumerable: true,
    get: () => current,
    set: (task: WorkerGlobalState['current']) => {
      current = task
      const ended = [...begun.values()].filter((test) => test !== task && hasEnded(test))
      for (const { id } of ended) begun.delete(id)
      if (task?.type === 'test') begun.set(task.id, task)
      const progress: Progress = {
        running: [...begun.values()].map((test) => runningTest(test, locations)),
        ended: ended.map(({ id, result }) => ({
          id,
          state: result?.state ?? 'run',
          durationMs: result?.duration ?? 0,
        })),
      }
      channel.send(frame(FRAME.progress, encodeValue(progress)))
    },
  })
}

function hasEnded({ result }: RunnerTestCase): boolean {
  return result !== undefined && result.state !== 'run' && result.state !== 'queued'
}

function runningTest(test: RunnerTestCase, locations: Locations): RunningTest {
  const location = test.location ?? locations.of(test.id)
  if (location === undefined) return { id: test.id }
  return { id: test.id, location: { line: location.line, column: location.column } }
}
