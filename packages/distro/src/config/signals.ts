// Signals that can ask a service to stop, by name; numbers as on x86-64 and arm64, signal(7).

const numbers = {
  SIGHUP: 1,
  SIGINT: 2,
  SIGQUIT: 3,
  SIGKILL: 9,
  SIGUSR1: 10,
  SIGUSR2: 12,
  SIGTERM: 15,
  SIGWINCH: 28,
} as const

/** Names that `stopSignal` can have. */
export const signalNames: readonly (keyof typeof numbers)[] = Object.keys(numbers) as (keyof typeof numbers)[]

/** Number of a signal; SIGTERM's for a name that is not known (the schema lets none through). */
export function signalNumber(name: string): number {
  return (numbers as Readonly<Record<string, number>>)[name] ?? numbers.SIGTERM
}
