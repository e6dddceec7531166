// The whole DHCP client against real servers (dnsmasq, busybox udhcpd) in namespaces of the test's own.
import { readFileSync, readlinkSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Dhcp4Event, Dhcp4Options } from '@pkg/net/dhcp4'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { createNetwork, type Program, type TestNetwork } from './namespace.ts'

type EventOf<Type extends Dhcp4Event['type']> = Dhcp4Event & { type: Type }

let network: TestNetwork
beforeEach(async () => {
  network = await createNetwork()
})
afterEach(() => network[Symbol.asyncDispose]())

async function startDnsmasq(range: string, ...options: string[]): Promise<Program> {
  const program = network.server.start(
    'dnsmasq',
    '--conf-file=/dev/null',
    '--port=0',
    '--no-daemon',
    '--user=root',
    '--group=root',
    '--log-dhcp',
    '--interface=s0',
    '--bind-interfaces',
    '--dhcp-authoritative',
    // Otherwise it pings an address for three seconds before it offers it.
    '--no-ping',
    `--dhcp-leasefile=${network.folder}/leases`,
    `--dhcp-range=${range}`,
    ...options,
  )
  await program.line((line) => line.includes('DHCP, sockets bound') || line.includes('started'), 20_000)
  return program
}

/** busybox's server takes leases shorter than dnsmasq's two minutes. */
async function startUdhcpd(leaseSeconds: number, range = ['10.9.0.50', '10.9.0.60']): Promise<Program> {
  const config = join(network.folder, 'udhcpd.conf')
  const leases = join(network.folder, 'udhcpd.leases')
  writeFileSync(leases, '')
  writeFileSync(
    config,
    [
      `start ${range[0]}`,
      `end ${range[1]}`,
      'interface s0',
      `lease_file ${leases}`,
      `pidfile ${network.folder}/pid`,
    ]
      .concat(
        `min_lease ${leaseSeconds}`,
        `option lease ${leaseSeconds}`,
        'option subnet 255.255.255.0',
        'option router 10.9.0.1',
      )
      .join('\n'),
  )
  const program = network.server.start('busybox', 'udhcpd', '-f', config)
  await program.line((line) => line.includes('started'), 20_000)
  return program
}

function startClient(options: Partial<Dhcp4Options> = {}): Program {
  const program = fileURLToPath(new URL('./programs/dhcp-client.ts', import.meta.url))
  const all: Dhcp4Options = { link: 'c0', resolvConf: join(network.folder, 'resolv.conf'), ...options }
  return network.client.start(process.execPath, program, JSON.stringify(all))
}

function parse(line: string): Dhcp4Event | null {
  return line.startsWith('{') ? (JSON.parse(line) as Dhcp4Event) : null
}

async function event<Type extends Dhcp4Event['type']>(
  client: Program,
  type: Type,
  matches: (event: EventOf<Type>) => boolean = () => true,
  timeoutMs = 20_000,
): Promise<EventOf<Type>> {
  const isIt = (one: Dhcp4Event | null): one is EventOf<Type> =>
    one?.type === type && matches(one as EventOf<Type>)
  const line = await client.line((text) => isIt(parse(text)), timeoutMs)
  return JSON.parse(line) as EventOf<Type>
}

const clientAddresses = (): string => network.client.run('ip', '-4', '-o', 'addr', 'show', 'dev', 'c0')
const clientRoutes = (): string => network.client.run('ip', '-4', 'route', 'show')

describe('runDhcp4() with dnsmasq', () => {
  test('puts address, MTU, classless routes and resolv.conf in place, by its first question', async () => {
    await startDnsmasq(
      '10.9.0.50,10.9.0.60,255.255.255.0,120',
      '--dhcp-option=option:dns-server,10.9.0.1,10.9.0.2',
      '--dhcp-option=option:mtu,1400',
      '--dhcp-option=option:domain-search,example.org,lab.example.org',
      '--dhcp-option=121,10.77.0.0/16,10.9.0.7,0.0.0.0/0,10.9.0.1',
    )
    // As on an appliance: the file is a link from a read-only /etc into /run.
    symlinkSync('real.conf', join(network.folder, 'resolv.conf'))
    const client = startClient({ hostname: 'box' })
    const { lease, sinceCarrierMs, renewed } = await event(client, 'lease')
    expect(lease.address).toMatch(/^10\.9\.0\.(5\d|60)$/)
    expect(renewed).toBe(false)
    // A second DISCOVER would come after 3 s at the earliest: nothing waits before the first.
    expect(sinceCarrierMs).toBeLessThan(3000)
    expect(clientAddresses()).toMatch(
      new RegExp(
        `inet ${lease.address}/24 .*brd 10.9.0.255 .*valid_lft 1(1\\d|20)sec preferred_lft 1(1\\d|20)sec`,
      ),
    )
    expect(network.client.run('ip', 'link', 'show', 'c0')).toContain('mtu 1400')
    const routes = clientRoutes()
    expect(routes).toMatch(/default via 10\.9\.0\.1 dev c0 proto dhcp src 10\.9\.0\.\d+ metric 10\d\d/)
    expect(routes).toMatch(/10\.77\.0\.0\/16 via 10\.9\.0\.7 dev c0 proto dhcp/)
    expect(network.client.run('busybox', 'ping', '-c1', '-W2', '10.9.0.1')).toContain(' 0% packet loss')
    await client.stop()
    expect(readlinkSync(join(network.folder, 'resolv.conf'))).toBe('real.conf')
    expect(readFileSync(join(network.folder, 'real.conf'), 'utf8')).toBe(
      'nameserver 10.9.0.1\nnameserver 10.9.0.2\nsearch example.org lab.example.org\n',
    )
  })

  test('takes a lease in two messages with rapidCommit', async () => {
    const server = await startDnsmasq('10.9.0.50,10.9.0.60,255.255.255.0,120', '--dhcp-rapid-commit')
    const client = startClient({ rapidCommit: true })
    await event(client, 'lease')
    expect(client.lines.filter((line) => parse(line)?.type === 'offer')).toEqual([])
    expect(server.lines.join('\n')).not.toContain('DHCPREQUEST')
  })

  test('asks again for its address when the cable was out, and takes a new one after a NAK', async () => {
    const first = await startDnsmasq('10.9.0.50,10.9.0.60,255.255.255.0,120')
    const client = startClient()
    const { lease } = await event(client, 'lease')
    network.server.run('ip', 'link', 'set', 's0', 'down')
    await event(client, 'carrier', ({ carrier }) => !carrier)
    const discovers = (): number => first.lines.filter((line) => line.includes('DHCPDISCOVER')).length
    const before = discovers()
    expect(before).toBeGreaterThan(0)
    network.server.run('ip', 'link', 'set', 's0', 'up')
    await event(client, 'lease', ({ renewed }) => renewed)
    expect(discovers()).toBe(before)

    await first.stop()
    network.server.run('ip', 'link', 'set', 's0', 'down')
    writeFileSync(join(network.folder, 'leases'), '')
    network.server.run('ip', 'link', 'set', 's0', 'up')
    await startDnsmasq('10.9.0.150,10.9.0.160,255.255.255.0,120')
    const second = await event(client, 'lease', (one) => one.lease.address !== lease.address, 20_000)
    expect(client.lines.map(parse).map((one) => one?.type)).toContain('nak')
    await event(client, 'lost', ({ reason }) => reason === 'nak')
    expect(clientAddresses()).toContain(second.lease.address)
    expect(clientAddresses()).not.toContain(lease.address)
    expect(clientRoutes().match(/default/g)).toHaveLength(1)
  })

  test('gives the lease back with release, and leaves the link clean', async () => {
    const server = await startDnsmasq('10.9.0.50,10.9.0.60,255.255.255.0,120')
    const client = startClient({ release: true })
    const { lease } = await event(client, 'lease')
    await client.stop()
    await server.line((line) => line.includes(`DHCPRELEASE(s0) ${lease.address}`), 20_000)
    expect(clientAddresses()).toBe('')
    expect(clientRoutes()).toBe('')
  })

  test('waits for a link that does not exist yet', async () => {
    await startDnsmasq('10.9.0.50,10.9.0.60,255.255.255.0,120')
    const client = startClient({ link: 'late0' })
    await new Promise((resolve) => setTimeout(resolve, 300))
    network.client.run('ip', 'link', 'set', 'c0', 'name', 'late0')
    await event(client, 'lease')
  })
})

describe('runDhcp4() with a short lease', () => {
  test('renews by unicast at half of it, and keeps the address without a gap', async () => {
    await startUdhcpd(6)
    const client = startClient()
    const { lease } = await event(client, 'lease', ({ renewed }) => !renewed)
    const renewal = await event(client, 'lease', ({ renewed }) => renewed, 20_000)
    expect(renewal.lease.address).toBe(lease.address)
    await event(client, 'state', ({ from, to }) => from === 'renewing' && to === 'bound')
    expect(client.lines.map(parse).filter((one) => one?.type === 'lost')).toEqual([])
    expect(clientAddresses()).toMatch(/valid_lft [3-6]sec/)
  })

  test('asks any server when its own is gone, and takes the address off at the end of the lease', async () => {
    const server = await startUdhcpd(6)
    const client = startClient()
    const { lease } = await event(client, 'lease')
    await server.stop('SIGKILL')
    await event(client, 'state', ({ to }) => to === 'renewing', 20_000)
    await event(client, 'state', ({ from, to }) => from === 'renewing' && to === 'rebinding', 20_000)
    const lost = await event(client, 'lost', () => true, 20_000)
    expect(lost).toMatchObject({ reason: 'expired', lease: { address: lease.address } })
    expect(clientAddresses()).toBe('')
    await event(client, 'state', ({ to }) => to === 'selecting')
    await startUdhcpd(6, ['10.9.0.90', '10.9.0.99'])
    // The next DISCOVER comes within 4 + 1 + 8 + 1 s.
    const again = await event(client, 'lease', (one) => one.lease.address !== lease.address, 30_000)
    expect(again.lease.address).toMatch(/^10\.9\.0\.9\d$/)
  })
})
