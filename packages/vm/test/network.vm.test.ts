/** Two real guests on a private network, and what tcpdump says of it. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { privateNetwork, type PrivateNetwork } from '../src/network.ts'
import { startQemu, type QemuMachine } from '../src/qemu.ts'
import { linuxGuest, type LinuxGuest } from './linux-guest.ts'

const network = (address: string): string => `
ip link set eth0 up; ip address add ${address}/24 dev eth0
`

/** 256 KiB that httpd serves, with their digest on the console. */
const SERVER = `${network('10.9.0.1')}
mkdir /www; dd if=/dev/urandom of=/www/file bs=1024 count=256 2>/dev/null
httpd -p 80 -h /www
echo "guest: digest $(sha256sum /www/file | cut -c1-64)"
while read line; do $line; done
`

const CLIENT = `${network('10.9.0.2')}
echo "guest: up"
while read line; do eval "$line"; done
`

function start(guest: LinuxGuest, shared: PrivateNetwork): Promise<QemuMachine> {
  const networks = [{ kind: 'private', network: shared } as const]
  return startQemu({ ...guest, memoryMiB: 128, networks, timeoutMs: 240_000 })
}

/** Runs a command in the client, and gives its exit status. */
async function status(client: QemuMachine, command: string): Promise<number> {
  const from = client.console.position
  client.console.write(`${command}; echo "guest: status $?"\n`)
  const [, code] = await client.console.waitFor(/^guest: status (\d+)$/m, { from })
  return Number(code)
}

test('guests on a privateNetwork() ping each other and transfer a file, in a capture that tcpdump reads', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'solo-network-'))
  const capture = join(folder, 'traffic.pcap')
  try {
    using shared = privateNetwork({ capture })
    using serverGuest = await linuxGuest(SERVER, ['virtio_pci', 'virtio_net'])
    using clientGuest = await linuxGuest(CLIENT, ['virtio_pci', 'virtio_net'])
    await using server = await start(serverGuest, shared)
    const [, digest] = await server.console.waitFor(/guest: digest (\w{64})/, { timeoutMs: 60_000 })
    await using client = await start(clientGuest, shared)
    await client.console.waitFor(/guest: up/, { timeoutMs: 60_000 })
    expect(await status(client, 'ping -c 3 -W 2 10.9.0.1 > /dev/null')).toBe(0)
    const fetched = `wget -q -O /file http://10.9.0.1/file && [ $(sha256sum /file | cut -c1-64) = ${digest} ]`
    expect(await status(client, fetched)).toBe(0)

    const [serverPort, clientPort] = shared.ports
    serverPort?.unplug()
    expect(await status(client, 'ping -c 1 -W 1 10.9.0.1 > /dev/null')).toBe(1)
    serverPort?.plug()
    expect(await status(client, 'ping -c 1 -W 5 10.9.0.1 > /dev/null')).toBe(0)
    clientPort?.setFaults({ delayMs: 150 })
    const slow = `[ $(ping -c 1 10.9.0.1 | grep -o 'time=[0-9]*' | cut -d= -f2) -ge 300 ]`
    expect(await status(client, slow)).toBe(0)

    const read = (filter: string): string[] =>
      execFileSync('tcpdump', ['-n', '-r', capture, filter], { encoding: 'utf8', stdio: 'pipe' })
        .trim()
        .split('\n')
    expect(read('icmp[icmptype] = icmp-echoreply').length).toBeGreaterThanOrEqual(5)
    expect(read('tcp port 80').length).toBeGreaterThan(100)
    expect(shared.captureError).toBeUndefined()
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})
