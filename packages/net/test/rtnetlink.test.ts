// Links, addresses and routes against the kernel, in namespaces of the test's own, and judged by ip(8).
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createNetwork, type TestNetwork } from './namespace.ts'

let network: TestNetwork
let results: Record<string, unknown>

beforeAll(async () => {
  network = await createNetwork()
  const program = fileURLToPath(new URL('./programs/rtnetlink.ts', import.meta.url))
  results = JSON.parse(network.client.run(process.execPath, program)) as Record<string, unknown>
})

afterAll(() => network[Symbol.asyncDispose]())

test.each([
  ['listLinks() lists all links', 'links', ['lo', 'c0']],
  ['bringUpLoopback() succeeds', 'loopback', 'done'],
  ['bringUpLoopback() makes the kernel add 127.0.0.1', 'loopback addresses', ['127.0.0.1']],
  ['getLink() reports ENODEV with the name', 'missing link', 'RTM_GETLINK nope0: ENODEV: No such device'],
  ['findLink() is undefined for an unknown name', 'find missing link', null],
  ['findLink() is undefined for an unknown index', 'find missing index', null],
  [
    'getLink() refuses a name that the kernel cannot hold',
    'bad name',
    expect.stringContaining('1 to 15 bytes'),
  ],
  ['setLink() sets MTU and up at once', 'mtu', 'done'],
  [
    'setLink() repeats why the kernel refuses an MTU',
    'mtu too small',
    'RTM_NEWLINK c0: mtu 1: EINVAL: Invalid argument (mtu less than device minimum)',
  ],
  ['getLink() describes a link', 'link', { name: 'c0', up: true, mtu: 1400, kind: 'veth', loopback: false }],
  ['addAddress() adds', 'add address', 'done'],
  [
    'addAddress() reports EEXIST with link and address',
    'add address again',
    expect.stringMatching(/^RTM_NEWADDR c0: 10\.9\.0\.2\/24: EEXIST: File exists/),
  ],
  ['addAddress() adds IPv6', 'add address v6', 'done'],
  [
    'listAddresses() shows lifetimes and broadcast',
    'addresses',
    ['10.9.0.2/24 10.9.0.255 600 300', 'fd00::2/64 undefined Infinity Infinity'],
  ],
  ['replaceAddress() gives an address new lifetimes', 'replaced', true],
  [
    'addRoute() repeats why the kernel refuses a gateway',
    'bad route',
    'RTM_NEWROUTE 10.5.0.0/16: via 10.77.0.1: ENETUNREACH: Network is unreachable (Nexthop has invalid gateway)',
  ],
  ['addRoute() adds a default route', 'default route', 'done'],
  [
    'addRoute() reports EEXIST',
    'default route again',
    expect.stringContaining('RTM_NEWROUTE default: via 10.9.0.1 on c0 metric 5: EEXIST'),
  ],
  ['replaceRoute() replaces', 'replace route', 'done'],
  ['addRoute() takes a gateway outside of the network when it is on the link', 'far gateway', 'done'],
  [
    'listRoutes() shows the main table',
    'routes',
    [
      'default 10.9.0.254 5 4 0',
      '10.5.0.0/16 - 0 16 253',
      '10.6.0.0/16 172.16.0.1 0 4 0',
      '10.9.0.0/24 - 0 2 253',
    ],
  ],
  ['listRoutes() shows a table over 255', 'table', ['10.7.0.0/16']],
  ['listRoutes() shows IPv6', 'routes v6', expect.arrayContaining(['fd00::/64', 'fd01::/16'])],
  ['deleteRoute() deletes by destination', 'delete route', 'done'],
  ['deleteRoute() reports ESRCH', 'delete route again', expect.stringContaining('ESRCH')],
  ['deleteAddress() deletes', 'delete address', 'done'],
  ['deleteAddress() reports EADDRNOTAVAIL', 'delete address again', expect.stringContaining('EADDRNOTAVAIL')],
  ['listAddresses() joins a dump of several messages', 'many addresses', 2_000],
  ['flushAddresses() removes all', 'flush', 2_000],
  ['setLink() renames and sets the hardware address', 'rename', '020000000001'],
])('%s', (_, name, expected) => {
  expect(results[name]).toEqual(expected)
})

describe('ip(8) sees what was made', () => {
  test('the renamed link with its new address', () => {
    expect(network.client.run('ip', 'link', 'show', 'cable')).toContain('link/ether 02:00:00:00:00:01')
  })

  test('no address is left after flushAddresses()', () => {
    expect(network.client.run('ip', '-4', 'addr', 'show', 'cable')).toBe('')
  })
})
