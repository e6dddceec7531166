// A DHCP client for one link: from the cable to address, routes and name servers, for as long as it runs.
import { Dhcp4Client } from './dhcp4/client.ts'
import type { Dhcp4Options } from './dhcp4/events.ts'
import { watchLinks } from './link.ts'

export type { Dhcp4Event, Dhcp4Options } from './dhcp4/events.ts'
export type { DeconfigureReason, DhcpStateName } from './dhcp4/machine.ts'
export type { Lease, LeaseRoute } from './dhcp4/options.ts'

/**
 * Runs a DHCPv4 client on a link until the signal is aborted: waits for the link and its carrier, gets a lease, puts
 * address, MTU, routes and resolv.conf in place, renews it, and asks anew after the cable was out. Everything is
 * driven by events: nothing polls and nothing sleeps before it sends.
 *
 * Needs CAP_NET_ADMIN, CAP_NET_RAW and CAP_NET_BIND_SERVICE.
 *
 * @returns when the signal is aborted; then the sockets are closed
 * @throws {@link SysError} what keeps it from running at all, as `EPERM`; what it can go on without is a `problem` event
 * @see https://www.rfc-editor.org/rfc/rfc2131
 * @example
 * ```ts no-run
 * import { runDhcp4 } from '@pkg/net/dhcp4'
 *
 * await runDhcp4({
 *   link: 'eth0',
 *   onEvent(event) {
 *     if (event.type === 'lease') console.log(`${event.lease.address} after ${event.sinceCarrierMs.toFixed(1)} ms`)
 *   },
 * })
 * ```
 */
export async function runDhcp4(options: Dhcp4Options): Promise<void> {
  const { signal, ...clientOptions } = options
  const failed = new AbortController()
  let failure: { error: unknown } | null = null
  const client = new Dhcp4Client(clientOptions, (error) => {
    failure ??= { error }
    failed.abort()
  })
  const ends = signal === undefined ? failed.signal : AbortSignal.any([signal, failed.signal])
  try {
    for await (const event of watchLinks({ signal: ends })) {
      if (client.isMine(event.link)) client.onLink(event)
    }
  } finally {
    await client.stop()
  }
  throwFailure(failure)
}

function throwFailure(failure: { error: unknown } | null): void {
  if (failure !== null) throw failure.error
}
