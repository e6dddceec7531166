// Changes links, addresses and routes inside a namespace, and prints what the kernel says about each, as JSON.
import { addAddress, deleteAddress, flushAddresses, listAddresses, replaceAddress } from '@pkg/net/address'
import { findLink, getLink, listLinks, setLink } from '@pkg/net/link'
import { bringUpLoopback } from '@pkg/net/loopback'
import { openRtnetlink } from '@pkg/net/netlink'
import { addRoute, deleteRoute, listRoutes, replaceRoute } from '@pkg/net/route'

const results: Record<string, unknown> = {}
function record(name: string, action: () => unknown): void {
  try {
    const value = action()
    results[name] = value === undefined ? 'done' : value
  } catch (error) {
    results[name] = error instanceof Error ? error.message : String(error)
  }
}

using rt = openRtnetlink()
record('links', () => listLinks(rt).map((link) => link.name))
record('loopback', () => bringUpLoopback())
record('loopback addresses', () =>
  listAddresses(rt, { link: 'lo', family: 'inet' }).map((one) => one.address),
)
record('missing link', () => getLink(rt, 'nope0'))
record('find missing link', () => findLink(rt, 'nope0') ?? null)
record('find missing index', () => findLink(rt, 4_711) ?? null)
record('bad name', () => getLink(rt, 'a name too long for it'))
record('mtu', () => setLink(rt, 'c0', { mtu: 1400, up: true }))
record('mtu too small', () => setLink(rt, 'c0', { mtu: 1 }))
record('link', () => {
  const { name, up, mtu, kind, loopback } = getLink(rt, 'c0')
  return { name, up, mtu, kind, loopback }
})
record('add address', () => addAddress(rt, 'c0', '10.9.0.2/24', { validSeconds: 600, preferredSeconds: 300 }))
record('add address again', () => addAddress(rt, 'c0', '10.9.0.2/24'))
record('add address v6', () => addAddress(rt, 'c0', 'fd00::2/64'))
record('addresses', () =>
  listAddresses(rt, { link: 'c0' })
    .filter((one) => one.scope === 0)
    .map(
      (one) =>
        `${one.address}/${one.prefixLength} ${one.broadcast} ${one.validSeconds} ${one.preferredSeconds}`,
    ),
)
record('replace address', () => replaceAddress(rt, 'c0', '10.9.0.2/24'))
record('replaced', () => listAddresses(rt, { link: 'c0', family: 'inet' })[0]?.validSeconds === Infinity)
record('bad route', () => addRoute(rt, { destination: '10.5.0.0/16', gateway: '10.77.0.1' }))
record('default route', () =>
  addRoute(rt, { destination: 'default', gateway: '10.9.0.1', link: 'c0', metric: 5 }),
)
record('default route again', () =>
  addRoute(rt, { destination: 'default', gateway: '10.9.0.1', link: 'c0', metric: 5 }),
)
record('replace route', () => replaceRoute(rt, { destination: 'default', gateway: '10.9.0.254', metric: 5 }))
record('prefix route', () =>
  addRoute(rt, { destination: '10.5.1.2/16', link: 'c0', protocol: 'dhcp', mtu: 1300 }),
)
record('far gateway', () =>
  addRoute(rt, { destination: '10.6.0.0/16', gateway: '172.16.0.1', link: 'c0', onLink: true }),
)
record('table route', () => addRoute(rt, { destination: '10.7.0.0/16', link: 'c0', table: 1_000 }))
record('v6 route', () => addRoute(rt, { destination: 'fd01::/16', gateway: 'fd00::1', link: 'c0' }))
record('routes', () =>
  listRoutes(rt, { family: 'inet' }).map(
    (one) => `${one.destination} ${one.gateway ?? '-'} ${one.metric} ${one.protocol} ${one.scope}`,
  ),
)
record('table', () => listRoutes(rt, { table: 1_000 }).map((one) => one.destination))
record('routes v6', () => listRoutes(rt, { family: 'inet6' }).map((one) => one.destination))
record('delete route', () => deleteRoute(rt, { destination: '10.5.0.0/16', link: 'c0' }))
record('delete route again', () => deleteRoute(rt, { destination: '10.5.0.0/16', link: 'c0' }))
record('delete address', () => deleteAddress(rt, 'c0', '10.9.0.2/24'))
record('delete address again', () => deleteAddress(rt, 'c0', '10.9.0.2/24'))
record('many addresses', () => {
  for (let index = 0; index < 2_000; index++)
    addAddress(rt, 'c0', `10.${10 + (index >> 8)}.${index & 255}.1/24`)
  return listAddresses(rt, { link: 'c0', family: 'inet' }).length
})
record('flush', () => flushAddresses(rt, { link: 'c0', family: 'inet' }))
record('rename', () => {
  setLink(rt, 'c0', { up: false })
  setLink(rt, 'c0', { name: 'cable', address: Uint8Array.of(2, 0, 0, 0, 0, 1) })
  return getLink(rt, 'cable').address.toHex()
})
process.stdout.write(JSON.stringify(results))
