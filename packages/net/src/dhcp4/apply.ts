// From a lease to the kernel: address, MTU, routes; and back.
import { RTPROT_DHCP } from '@pkg/sys/constants'
import { isSysError } from '@pkg/sys/errno'
import { deleteAddress, replaceAddress } from '../address.ts'
import { networkOf } from '../ip.ts'
import { getLink, setLink } from '../link.ts'
import type { Netlink } from '../netlink.ts'
import { deleteRoute, listRoutes, replaceRoute, type RouteInput } from '../route.ts'
import type { Lease } from './options.ts'

/** How to put a lease on a link. */
export interface ApplyOptions {
  linkIndex: number
  lease: Lease
  /** The lease that it replaces. */
  previous: Lease | null
  /** What is left of the lease; the kernel removes the address then, even if this process has died. */
  remainingSeconds: number
  /** Metric of the routes. */
  metric: number
  /** Told of what the link refused, without which the lease still works: an MTU, one route. */
  onProblem: (error: unknown) => void
}

/**
 * Puts a lease on a link: the address with its lifetime, the MTU, the routes; then takes away what only the previous
 * lease had. Returns at once. What is right already stays as it is, so a renewal interrupts nothing.
 *
 * @throws {@link SysError} when the kernel refuses the address
 */
export function applyLease(rt: Netlink, options: ApplyOptions): void {
  const { lease, previous, linkIndex, onProblem } = options
  replaceAddress(rt, linkIndex, `${lease.address}/${lease.prefixLength}`, {
    validSeconds: options.remainingSeconds,
    routeMetric: options.metric,
    ...(lease.broadcast === undefined ? {} : { broadcast: lease.broadcast }),
  })
  if (previous !== null && !sameAddress(previous, lease)) removeAddress(rt, linkIndex, previous)
  const { mtu } = lease
  if (mtu !== undefined) {
    attempt(onProblem, () => {
      if (getLink(rt, linkIndex).mtu !== mtu) setLink(rt, linkIndex, { mtu })
    })
  }
  const routes = leaseRoutes(options)
  for (const route of routes) attempt(onProblem, () => replaceRoute(rt, route))
  attempt(onProblem, () => removeOtherRoutes(rt, linkIndex, routes))
}

/**
 * Takes a lease's address away, and with it the routes that have it as source. What is gone already is no error: the
 * kernel removes an address at the end of its lifetime by itself, and all of them with the link.
 *
 * @throws {@link SysError} `EPERM` and what else keeps the kernel from it
 */
export function removeLease(rt: Netlink, linkIndex: number, lease: Lease): void {
  removeAddress(rt, linkIndex, lease)
  try {
    removeOtherRoutes(rt, linkIndex, [])
  } catch (error) {
    if (!isSysError(error, 'ENODEV')) throw error
  }
}

function leaseRoutes({ lease, linkIndex, metric }: ApplyOptions): RouteInput[] {
  const network = networkOf(lease)
  return lease.routes.map(({ destination, prefixLength, gateway }) => {
    const route: RouteInput = {
      destination: prefixLength === 0 ? 'default' : `${destination}/${prefixLength}`,
      link: linkIndex,
      metric,
      protocol: 'dhcp',
      source: lease.address,
    }
    // RFC 3442: the router 0.0.0.0 means that the network is on the link itself.
    if (gateway === '0.0.0.0') return route
    route.gateway = gateway
    // Clouds give a /32 and a gateway outside of it: the kernel takes that only when told that it is on the link.
    route.onLink = networkOf({ address: gateway, prefixLength: lease.prefixLength }) !== network
    return route
  })
}

function removeOtherRoutes(rt: Netlink, linkIndex: number, wanted: readonly RouteInput[]): void {
  for (const { destination, gateway, metric, protocol } of listRoutes(rt, {
    family: 'inet',
    link: linkIndex,
  })) {
    if (protocol !== RTPROT_DHCP) continue
    const isWanted = wanted.some((route) => route.destination === destination && route.metric === metric)
    if (isWanted) continue
    try {
      const route = { destination, link: linkIndex, metric, protocol: 'dhcp' } as const
      deleteRoute(rt, gateway === undefined ? route : { ...route, gateway })
    } catch (error) {
      if (!isSysError(error, 'ESRCH')) throw error
    }
  }
}

function removeAddress(rt: Netlink, linkIndex: number, lease: Lease): void {
  try {
    deleteAddress(rt, linkIndex, `${lease.address}/${lease.prefixLength}`)
  } catch (error) {
    if (!isSysError(error, 'EADDRNOTAVAIL') && !isSysError(error, 'ENODEV')) throw error
  }
}

function sameAddress(left: Lease, right: Lease): boolean {
  return left.address === right.address && left.prefixLength === right.prefixLength
}

function attempt(onProblem: (error: unknown) => void, action: () => void): void {
  try {
    action()
  } catch (error) {
    onProblem(error)
  }
}
