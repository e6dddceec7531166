// Asking a guest over HTTP, and waiting with a bound for what takes its time there.
import { setTimeout as sleep } from 'node:timers/promises'
import type { QemuMachine } from '@pkg/vm/qemu'

/** One answer of a busy guest under TCG may take seconds; more than this is no answer. */
const ANSWER_MS = 30_000
const POLL_MS = 50

/** Fetches from a port of the guest that is forwarded. A connection is used once: its server may be killed. */
export async function ask(
  vm: QemuMachine,
  guestPort: number,
  path: string,
  init: RequestInit = {},
): Promise<Response> {
  const forward = vm.forwards.find((each) => each.guestPort === guestPort)
  if (forward === undefined) throw new TypeError(`port ${guestPort} is not forwarded`)
  const signal = AbortSignal.timeout(ANSWER_MS)
  return fetch(`http://127.0.0.1:${forward.hostPort}${path}`, {
    ...init,
    signal,
    headers: { connection: 'close' },
  })
}

/** The same, for an answer in JSON with status 200. */
export async function askJson<T>(vm: QemuMachine, guestPort: number, path: string): Promise<T> {
  const response = await ask(vm, guestPort, path)
  if (response.status !== 200) throw new Error(`${path}: status ${response.status}: ${await response.text()}`)
  return (await response.json()) as T
}

/** Looks until the answer is good, and gives it. The last answer or error is shown when the time is over. */
export async function eventually<T>(
  look: () => Promise<T>,
  isGood: (answer: T) => boolean,
  limitMs = 60_000,
): Promise<T> {
  const untilMs = performance.now() + limitMs
  let last: unknown
  do {
    try {
      const answer = await look()
      if (isGood(answer)) return answer
      last = JSON.stringify(answer)
    } catch (error) {
      last = error
    }
    await sleep(POLL_MS)
  } while (performance.now() < untilMs)
  throw new Error(`not within ${limitMs} ms; the last answer: ${String(last)}`)
}

/** The time that the console gives for the first line that matches after its stamp, in milliseconds. */
export function stampMs(text: string, pattern: RegExp): number {
  const line = new RegExp(String.raw`^\[ *(\d+\.\d+)\] ${pattern.source}`, 'm').exec(text)
  if (line === null) throw new Error(`no line ${pattern.source} on the console:\n${text}`)
  return Number(line[1]) * 1000
}
