// Signals that this process gets: they are meant for the program in the machine.

/** Those that a terminal or a service manager sends to end or to ask something. */
const FORWARDED = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2'] as const
/** A signal that is passed on. */
export type ForwardedSignal = (typeof FORWARDED)[number]

const ENDING: ReadonlySet<string> = new Set<ForwardedSignal>(['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT'])

/** Within this time a second signal that asks for the end means: now. */
const IMPATIENCE_MS = 2000

/** What to do about signals. */
export interface SignalActions {
  /** Passes one on; false when there is no program yet, or no more. */
  readonly forward: (signal: ForwardedSignal) => boolean
  /** Ends everything at once. */
  readonly kill: (signal: ForwardedSignal) => void
}

/** Takes signals over until it is disposed of. */
export function takeSignals({ forward, kill }: SignalActions): Disposable {
  let lastMs = Number.NEGATIVE_INFINITY
  const onSignal = (signal: ForwardedSignal): void => {
    const nowMs = performance.now()
    const impatient = nowMs - lastMs < IMPATIENCE_MS
    if (ENDING.has(signal)) lastMs = nowMs
    if (ENDING.has(signal) && impatient) kill(signal)
    else if (!forward(signal) && ENDING.has(signal)) kill(signal)
  }
  for (const signal of FORWARDED) process.on(signal, onSignal)
  return {
    [Symbol.dispose]() {
      for (const signal of FORWARDED) process.off(signal, onSignal)
    },
  }
}
