/** The network of the machine, beside the services that do not need it. */
import { configureInterface } from '@pkg/net/configure'
import type { Dhcp4Event } from '@pkg/net/dhcp4'
import type { LogPriority } from '../core.ts'

/** After this time the services that wait for the network are started without it. */
const ONLINE_TIMEOUT_MS = 15_000
/** A client that ends with an error (no permission, no memory) is tried again after this time. */
const RETRY_MS = 5000

type Log = (priority: LogPriority, text: string) => void

/** What the network needs. */
export interface NetworkContext {
  /** Our name, for the server. */
  readonly hostname: string
  /** Writes a line of PID 1's. */
  readonly log: Log
  /** Called once: with the first lease, or when the time is over. */
  readonly onOnline: () => void
  /** The time servers that a lease names. */
  readonly onTimeServers: (addresses: readonly string[]) => void
}

/** Asks for an address on the first wired link, for ever; a driver may still be loading. */
export function startNetwork({ hostname, log, onOnline, onTimeServers }: NetworkContext): void {
  const timer = setTimeout(() => {
    log('warning', `network: no address after ${ONLINE_TIMEOUT_MS / 1000} s; going on, and asking further`)
    onOnline()
  }, ONLINE_TIMEOUT_MS)
  let online = false
  void keepConfigured(hostname, log, (event) => {
    logEvent(log, event)
    if (event.type !== 'lease') return
    if (!event.renewed || event.lease.ntpServers.length > 0) onTimeServers(event.lease.ntpServers)
    if (online) return
    online = true
    clearTimeout(timer)
    onOnline()
  })
}

async function keepConfigured(
  hostname: string,
  log: Log,
  onEvent: (event: Dhcp4Event) => void,
): Promise<void> {
  for (;;) {
    try {
      await configureInterface({ hostname, onEvent })
      return
    } catch (error) {
      log('error', `network: ${error instanceof Error ? error.message : String(error)}`)
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS))
    }
  }
}

function logEvent(log: Log, event: Dhcp4Event): void {
  switch (event.type) {
    case 'lease': {
      const { address, prefixLength } = event.lease
      const took = `${event.sinceCarrierMs.toFixed(1)} ms from carrier to ACK`
      const text = `network: ${event.link} has ${address}/${prefixLength} (${took})`
      return log(event.renewed ? 'debug' : 'info', text)
    }
    case 'lost':
      return log('warning', `network: ${event.link} lost ${event.lease.address}: ${event.reason}`)
    case 'carrier':
      return log('info', `network: ${event.link} ${event.carrier ? 'has' : 'lost'} its carrier`)
    case 'nak':
    case 'ignored':
      return log('warning', `network: ${event.link}: ${event.type}: ${event.detail}`)
    case 'problem':
      return log('warning', `network: ${event.link}: ${event.error.message}`)
    case 'state':
      return log('debug', `network: ${event.link}: ${event.from} → ${event.to}`)
    case 'offer':
      return log('debug', `network: ${event.link}: offer: ${event.detail}`)
  }
}
