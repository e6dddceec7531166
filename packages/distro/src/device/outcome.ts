// What becomes of a release that was installed: the device restarts into it, and keeps it or comes back.
import { setTimeout as sleep } from 'node:timers/promises'
import type { DeviceStatus } from '../agent/bodies.ts'
import { SoloError } from '../error.ts'
import { DeviceAway, type DeviceClient, DeviceRefused } from './client.ts'

/** Time between two looks at a device. */
const LOOK_MS = 1000

/** What is waited for. */
export interface AwaitedRelease {
  readonly version: string
  readonly counter: number
}

/** What a look at a device shows of a release that was to be tried. */
export type Outcome =
  /** It runs, and is kept. */
  | { readonly kind: 'committed' }
  /** The old one runs again. */
  | { readonly kind: 'rolled-back'; readonly reason: string }
  /** Not yet; in words. */
  | { readonly kind: 'waiting'; readonly detail: string }

/**
 * What a status says.
 *
 * @param sinceRebootMs - time since the reboot was asked for: a machine that has been up for longer has not restarted
 */
export function outcomeOf(
  { machine }: DeviceStatus,
  { counter }: AwaitedRelease,
  sinceRebootMs: number,
): Outcome {
  const { boot, gate, uptimeMs } = machine
  if (uptimeMs > sinceRebootMs) return { kind: 'waiting', detail: 'shutting down' }
  if (boot.release?.counter === counter) {
    if (boot.blessed) return { kind: 'committed' }
    return { kind: 'waiting', detail: `on trial${gate === null ? '' : `: ${gate.reason}`}` }
  }
  const { lastRollback } = boot
  const isThisOne = lastRollback !== null && [counter, null].includes(lastRollback.from.counter)
  const reason = isThisOne ? lastRollback.reason : 'it did not get as far as to say why'
  return { kind: 'rolled-back', reason }
}

/**
 * Waits until the device runs the release and has blessed it.
 *
 * @param onDetail - hears what it is doing
 * @throws SoloError it runs another one again, with the reason; or neither in time
 */
export async function waitForOutcome(
  device: DeviceClient,
  release: AwaitedRelease,
  limitMs: number,
  onDetail: (detail: string) => void,
): Promise<void> {
  const startedMs = performance.now()
  let last = 'no answer yet'
  for (;;) {
    const elapsedMs = performance.now() - startedMs
    if (elapsedMs > limitMs) {
      throw new SoloError(
        `${device.name}: not within ${limitMs / 1000} s: ${last}; look again with: solo status ${device.name}`,
      )
    }
    try {
      const outcome = outcomeOf(await device.status(), release, performance.now() - startedMs)
      if (outcome.kind === 'committed') return
      if (outcome.kind === 'rolled-back') {
        throw new SoloError(`${device.name}: ${release.version} was given up: ${outcome.reason}`)
      }
      last = outcome.detail
    } catch (error) {
      // PID 1 no longer answers the agent at the end of a shutdown.
      const isRestarting = error instanceof DeviceRefused && error.code === 'unreachable'
      if (!(error instanceof DeviceAway) && !isRestarting) throw error
      last = 'restarting'
    }
    onDetail(last)
    await sleep(LOOK_MS)
  }
}
