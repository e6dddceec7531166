// What follows the header of our requests, byte for byte as ip(8) sends it; and what the kernel answered to ip(8).
import { readFileSync } from 'node:fs'
import { RTM_NEWADDR, RTM_NEWLINK, RTM_NEWROUTE } from '@pkg/sys/constants'
import { describe, expect, test } from 'vitest'
import { decodeAddress, encodeAddress } from '../src/address.ts'
import { decodeLink } from '../src/link.ts'
import { decodeMessages, type NetlinkMessage } from '../src/netlink/message.ts'
import { decodeRoute, encodeRoute } from '../src/route.ts'

const golden = JSON.parse(readFileSync(new URL('./golden/iproute2.json', import.meta.url), 'utf8')) as Record<
  string,
  { request: string; answers: string[] }
>

const requestOf = (command: string): string =>
  decodeMessages(Uint8Array.fromHex(golden[command]?.request ?? ''))[0]?.payload.toHex() ?? ''
const answersOf = (command: string, type: number): NetlinkMessage[] =>
  (golden[command]?.answers ?? [])
    .flatMap((hex) => decodeMessages(Uint8Array.fromHex(hex)))
    .filter((one) => one.type === type)

/** The link eth7 had the index 7. */
const INDEX = 7

describe('encodeAddress() writes what ip(8) writes', () => {
  test('for IPv4 with lifetimes', () => {
    const bytes = encodeAddress(INDEX, '10.0.2.15/24', { validSeconds: 3600, preferredSeconds: 1800 })
    const command = 'ip addr add 10.0.2.15/24 brd + dev eth7 valid_lft 3600 preferred_lft 1800'
    expect(bytes.toHex()).toBe(requestOf(command))
  })

  test('for IPv6', () => {
    expect(encodeAddress(INDEX, 'fd00::15/64', {}).toHex()).toBe(
      requestOf('ip addr add fd00::15/64 dev eth7'),
    )
  })

  test('for a deletion', () => {
    expect(encodeAddress(INDEX, '10.0.2.15/24', null).toHex()).toBe(
      requestOf('ip addr del 10.0.2.15/24 dev eth7'),
    )
  })

  test('and refuses lifetimes that the kernel would', () => {
    expect(() => encodeAddress(INDEX, '10.0.0.1/8', { validSeconds: 0 })).toThrow(RangeError)
    expect(() => encodeAddress(INDEX, '10.0.0.1/8', { validSeconds: 5, preferredSeconds: 6 })).toThrow(
      RangeError,
    )
    expect(() => encodeAddress(INDEX, '10.0.0.1/8', { validSeconds: Number.NaN })).toThrow(RangeError)
  })
})

describe('encodeRoute() writes what ip(8) writes', () => {
  test('for a default route', () => {
    const route = { destination: 'default', gateway: '10.0.2.2', protocol: 'dhcp', metric: 100 } as const
    const command = 'ip route add default via 10.0.2.2 dev eth7 proto dhcp metric 100'
    expect(encodeRoute(route, INDEX, 'add').toHex()).toBe(requestOf(command))
  })

  test('for a network on the link', () => {
    const command = 'ip route add 192.168.0.0/16 dev eth7 proto static'
    expect(encodeRoute({ destination: '192.168.5.5/16' }, INDEX, 'add').toHex()).toBe(requestOf(command))
  })

  test('for IPv6 with a gateway', () => {
    const route = { destination: 'fd01::/16', gateway: 'fd00::1', metric: 5 }
    const command = 'ip route replace fd01::/16 via fd00::1 dev eth7 metric 5 proto static'
    expect(encodeRoute(route, INDEX, 'add').toHex()).toBe(requestOf(command))
  })

  test('for a deletion', () => {
    const command = 'ip route del 192.168.0.0/16 dev eth7'
    expect(encodeRoute({ destination: '192.168.0.0/16' }, INDEX, 'delete').toHex()).toBe(requestOf(command))
  })

  test('and refuses a gateway of the other family', () => {
    expect(() => encodeRoute({ destination: '10.0.0.0/8', gateway: 'fd00::1' }, INDEX, 'add')).toThrow(
      TypeError,
    )
  })
})

test('decodeLink() reads what the kernel told ip(8)', () => {
  const links = answersOf('ip link show dev eth7', RTM_NEWLINK).map(decodeLink)
  expect(links.find(({ index }) => index === INDEX)).toMatchObject({
    name: 'eth7',
    type: 1,
    kind: 'veth',
    up: true,
    carrier: true,
    running: true,
    loopback: false,
    mtu: 1400,
    address: Uint8Array.of(0x52, 0x54, 0, 0x12, 0x34, 0x56),
  })
})

test('decodeAddress() reads what the kernel told ip(8)', () => {
  const addresses = answersOf('ip addr show dev eth7', RTM_NEWADDR).map(decodeAddress)
  expect(addresses).toContainEqual({
    linkIndex: INDEX,
    family: 'inet',
    address: '10.0.2.15',
    prefixLength: 24,
    broadcast: '10.0.2.255',
    label: 'eth7',
    scope: 0,
    flags: 0,
    validSeconds: 3600,
    preferredSeconds: 1800,
  })
  expect(addresses).toContainEqual(
    expect.objectContaining({
      family: 'inet6',
      address: 'fd00::15',
      prefixLength: 64,
      validSeconds: Infinity,
    }),
  )
})

test('decodeRoute() reads what the kernel told ip(8)', () => {
  const routes = answersOf('ip route show', RTM_NEWROUTE).map(decodeRoute)
  expect(routes).toContainEqual({
    family: 'inet',
    destination: 'default',
    gateway: '10.0.2.2',
    linkIndex: INDEX,
    metric: 100,
    table: 254,
    protocol: 16,
    scope: 0,
    type: 1,
  })
  expect(routes).toContainEqual(
    expect.objectContaining({ destination: '10.0.2.0/24', source: '10.0.2.15', protocol: 2, scope: 253 }),
  )
})
