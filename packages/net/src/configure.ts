// The network of a machine with one cable: find the link, then DHCP.
import { ARPHRD_ETHER } from '@pkg/sys/constants'
import { runDhcp4, type Dhcp4Options } from './dhcp4.ts'
import { setLink, watchLinks, type Link } from './link.ts'
import { openRtnetlink } from './netlink.ts'

/** How to configure the machine's network: as {@link Dhcp4Options}, but the link may be left open. */
export interface ConfigureInterfaceOptions extends Omit<Dhcp4Options, 'link'> {
  /** The link's name. Default: the first Ethernet that has a carrier; all are switched on to find out. */
  link?: string
}

/** Virtual links that stand for a cable: the end of a container's veth pair, a macvlan or ipvlan of the host's link. */
const CABLE_KINDS = new Set<string | undefined>([undefined, 'veth', 'macvlan', 'ipvlan'])

/**
 * Configures the network by DHCP on the named link or, without a name, on the first Ethernet with a carrier. Waits for
 * links that do not exist yet: a driver may still be loading. Runs until the signal is aborted.
 *
 * Needs CAP_NET_ADMIN, CAP_NET_RAW and CAP_NET_BIND_SERVICE.
 *
 * @throws {@link SysError} as {@link runDhcp4}
 * @example
 * ```ts no-run
 * import { configureInterface } from '@pkg/net/configure'
 *
 * const stop = new AbortController()
 * await configureInterface({ signal: stop.signal, onEvent: (event) => console.log(event.type) })
 * ```
 */
export async function configureInterface(options: ConfigureInterfaceOptions = {}): Promise<void> {
  const link = options.link ?? (await firstEthernetWithCarrier(options.signal))
  if (link === null) return
  await runDhcp4({ ...options, link })
}

async function firstEthernetWithCarrier(signal: AbortSignal | undefined): Promise<string | null> {
  for await (const { type, link } of watchLinks(signal === undefined ? {} : { signal })) {
    if (type === 'removed' || !isCable(link)) continue
    if (link.carrier) return link.name
    if (!link.up) switchOn(link)
  }
  return null
}

function isCable(link: Link): boolean {
  return link.type === ARPHRD_ETHER && !link.loopback && CABLE_KINDS.has(link.kind)
}

function switchOn(link: Link): void {
  using rt = openRtnetlink()
  setLink(rt, link.index, { up: true })
}
