// What a caller of the DHCP client gives it and hears from it.
import type { DeconfigureReason, DhcpStateName } from './machine.ts'
import type { Lease } from './options.ts'

/** How to run a DHCP client. */
export interface Dhcp4Options {
  /** The link's name. It may not exist yet; it is switched on when it does. */
  link: string
  /** Ends the client. */
  signal?: AbortSignal
  /** Told of everything that happens. */
  onEvent?: (event: Dhcp4Event) => void
  /** Our host name, which the server may register in DNS (option 12). */
  hostname?: string
  /** Option 61 in its wire form; default: hardware type and address. */
  clientId?: Uint8Array
  /** Take a lease in two messages where the server can (RFC 4039). Default: false. */
  rapidCommit?: boolean
  /** Where to write the name servers; `false` for nowhere. Default: `/etc/resolv.conf`. */
  resolvConf?: string | false
  /** Take the host name that the server gives. Default: false. */
  applyHostname?: boolean
  /** Metric of the routes. Default: 1000 + the link's index, so that links do not replace each other's routes. */
  metric?: number
  /** At the end give the lease back (DHCPRELEASE) and unconfigure the link. Default: keep it. */
  release?: boolean
  /** Seed of jitter and transaction numbers, to replay a run. Default: random. */
  seed?: number
}

/** What happens to a client, in order. */
export type Dhcp4Event =
  /** The cable was plugged in or out. */
  | { type: 'carrier'; link: string; carrier: boolean }
  /** The client's state of RFC 2131 figure 5 changed. */
  | { type: 'state'; link: string; from: DhcpStateName; to: DhcpStateName }
  /** A server offers an address. */
  | { type: 'offer'; link: string; server?: string; detail: string }
  /** The lease is on the link: new, changed or renewed. */
  | {
      type: 'lease'
      link: string
      lease: Lease
      /** The address was ours before. */
      renewed: boolean
      /** From the carrier to the server's ACK. */
      sinceCarrierMs: number
      /** From the ACK to the address and routes being in the kernel. */
      configureMs: number
    }
  /** The address was taken off the link. */
  | { type: 'lost'; link: string; lease: Lease; reason: DeconfigureReason }
  /** The server refused; `detail` is its text. */
  | { type: 'nak'; link: string; server?: string; detail: string }
  /** An answer that cannot be used, and why. */
  | { type: 'ignored'; link: string; server?: string; detail: string }
  /** Something failed that the client goes on without. */
  | { type: 'problem'; link: string; error: Error }
