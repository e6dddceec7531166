/** The network of the machine, beside the services that do not need it. */
import type { LogPriority } from '../core.ts'

/** After this time the services that wait for the network are started without it. */
export const ONLINE_TIMEOUT_MS = 15_000

/** Asks for addresses; `onOnline` is called once: with the first lease, or when the time is over. */
export function startNetwork(log: (priority: LogPriority, text: string) => void, onOnline: () => void): void {
  log('warning', 'no DHCP yet')
  onOnline()
}
