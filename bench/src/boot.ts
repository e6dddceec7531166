// Boot: from the start of QEMU to the first page served, by the three ways in which examples/hello boots. The floor
// beside them is the same kernel with busybox and a shell script, which supervises nothing.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { zstdDecompressSync } from 'node:zlib'
import { buildAppliance } from '@pkg/distro/build'
import { startAppliance } from '@pkg/distro/run'
import { readCpio, writeCpio } from '@pkg/image/cpio'
import { FileTree } from '@pkg/image/tree'
import { type QemuMachine, startQemu } from '@pkg/vm/qemu'
import { type Row, rowOf } from './report.ts'

/** The port that all guests serve. */
const guestPort = 8080

/** How long a guest may take to serve its page: one that hangs is ended, and one on a busy machine is not. */
const pageTimeoutMs = 600_000

const forwards = [{ host: 0, guest: guestPort }]

/** A guest to measure. */
interface Guest {
  name: string
  start: () => Promise<QemuMachine>
}

/** Points on the way, and what the console says when a guest is there. */
const marks = {
  loader: /BdsDxe: starting Boot/,
  'PID 1': /init: api file systems/,
} as const

type Point = keyof typeof marks | 'page'

/** When a guest came by a point, in nanoseconds since the start of QEMU, by round. */
type Times = Record<Point, number[]>

/** Builds all guests. */
async function makeGuests(): Promise<Record<'disk' | 'direct' | 'initramfs' | 'floor', Guest>> {
  const folder = `${fileURLToPath(new URL('../../.cache/bench', import.meta.url))}/boot`
  mkdirSync(folder, { recursive: true })
  const hello = fileURLToPath(new URL('../../examples/hello', import.meta.url))
  const disk = await buildAppliance(hello, { format: 'disk', out: `${folder}/disk` })
  const whole = await buildAppliance(hello, { format: 'initramfs', out: `${folder}/initramfs` })
  const initrd = `${folder}/busybox.cpio`
  writeFileSync(initrd, await busyboxInitramfs(whole.initramfs))
  const options = { forwards, timeoutMs: pageTimeoutMs }
  return {
    disk: { name: 'disk, UEFI', start: () => startAppliance(disk, options) },
    direct: { name: 'disk, direct', start: () => startAppliance(disk, { ...options, direct: true }) },
    initramfs: { name: 'initramfs', start: () => startAppliance(whole, options) },
    floor: {
      name: 'busybox, same kernel',
      start: () =>
        startQemu({
          ...{ kernel: whole.kernel, initrd, append: 'quiet', timeoutMs: pageTimeoutMs },
          networks: [{ kind: 'user', forwards: [{ hostPort: 0, guestPort }] }],
        }),
    },
  }
}

/**
 * Measures the ways of booting in turns, and compares each with the next simpler one.
 *
 * @throws Error when a guest cannot be made, or does not serve its page in time
 */
export async function measureBoots(rounds: number, say: (line: string) => void): Promise<Row[]> {
  say('bench: boot: building')
  const guests = await makeGuests()
  const order = Object.values(guests)
  const results = new Map<Guest, Times>(order.map((guest) => [guest, { loader: [], 'PID 1': [], page: [] }]))
  // The first round warms the host's page cache, and is not counted.
  for (let round = 0; round <= rounds; round++) {
    say(round === 0 ? 'bench: boot: warming up' : `bench: boot: round ${round} of ${rounds}`)
    for (let turn = 0; turn < order.length; turn++) {
      const guest = order[(round + turn) % order.length] as Guest
      const times = await measureGuest(guest)
      if (round === 0) continue
      for (const [point, timeNs] of times) results.get(guest)?.[point].push(timeNs)
    }
  }
  const { disk, direct, initramfs, floor } = guests
  const row = (ours: Guest, point: Point, peer: Guest, peerPoint: Point = point): Row =>
    rowOf(
      `QEMU start to ${point}: ${ours.name}`,
      peerPoint === point ? peer.name : `to ${peerPoint}`,
      's',
      results.get(ours)?.[point],
      results.get(peer)?.[peerPoint],
    )
  return [
    // How much of the way is the firmware's.
    row(disk, 'loader', disk, 'page'),
    row(disk, 'PID 1', initramfs),
    row(direct, 'PID 1', initramfs),
    row(disk, 'page', initramfs),
    row(direct, 'page', initramfs),
    row(initramfs, 'page', floor),
  ]
}

/** Boots a guest and fetches its page. */
async function measureGuest({ name, start: startGuest }: Guest): Promise<Map<Point, number>> {
  const start = performance.now()
  const elapsedNs = (): number => (performance.now() - start) * 1e6
  await using vm = await startGuest()
  const times = new Map<Point, number>()
  for (const [point, pattern] of Object.entries(marks)) {
    // A guest without this point never comes there; that it ends first is told by its page.
    vm.console.waitFor(pattern, { timeoutMs: pageTimeoutMs }).then(
      () => times.set(point as Point, elapsedNs()),
      () => {},
    )
  }
  const url = `http://127.0.0.1:${vm.forwards[0]?.hostPort}/`
  while (elapsedNs() < pageTimeoutMs * 1e6) {
    try {
      const response = await fetch(url, { signal: AbortSignal.timeout(2000) })
      await response.text()
      if (response.ok) return times.set('page', elapsedNs())
    } catch {
      // Nobody answers yet: QEMU accepts the connection and resets it.
    }
    await sleep(10)
  }
  throw new Error(`${name}: no page in ${pageTimeoutMs / 1000} s; the console says:\n${vm.console.tail(10)}`)
}

interface ModuleIndex {
  modules: Record<string, { path: string; dependencies: string[] }>
}

/** An initramfs of busybox and the network modules that ours has. */
async function busyboxInitramfs(ours: string): Promise<Uint8Array> {
  const busybox = '/bin/busybox'
  if (!existsSync(busybox)) throw new Error('busybox-static is not installed')
  const files = new Map<string, Uint8Array>()
  let index: ModuleIndex | undefined
  for await (const entry of readCpio(zstdDecompressSync(readFileSync(ours)))) {
    if (entry.path.endsWith('.ko')) files.set(entry.path, await entry.bytes())
    if (entry.path.endsWith('/solo-modules.json')) {
      index = JSON.parse(new TextDecoder().decode(await entry.bytes())) as ModuleIndex
    }
  }
  if (index === undefined) throw new Error(`${ours} has no index of modules`)
  const { modules } = index
  const wanted = ['virtio_pci', 'virtio_net'].flatMap((name) =>
    (modules[name]?.dependencies ?? []).concat(name),
  )
  const paths = [...new Set(wanted)].map((name) => modules[name]?.path ?? '')
  const tree = new FileTree()
  const add = (path: string, content: Uint8Array): void => {
    tree.add({ path, type: 'file', mode: 0o755, uid: 0, gid: 0, content })
  }
  add('/bin/busybox', readFileSync(busybox))
  for (const path of paths) add(path, files.get(path) ?? new Uint8Array())
  add('/www/index.html', new TextEncoder().encode('floor\n'))
  add('/init', new TextEncoder().encode(floorScript(paths)))
  tree.add({ path: '/dev/console', type: 'char', mode: 0o600, uid: 0, gid: 0, major: 5, minor: 1 })
  const chunks: Uint8Array[] = []
  for await (const chunk of writeCpio(tree)) chunks.push(chunk)
  return Buffer.concat(chunks)
}

/** QEMU's user network is always the same: the floor needs no DHCP. */
function floorScript(modules: readonly string[]): string {
  return [
    '#!/bin/busybox sh',
    '/bin/busybox mkdir -p /proc /sys',
    '/bin/busybox mount -t proc proc /proc',
    '/bin/busybox mount -t sysfs sysfs /sys',
    ...modules.map((path) => `/bin/busybox insmod ${path}`),
    '/bin/busybox ifconfig lo up',
    '/bin/busybox ifconfig eth0 10.0.2.15 netmask 255.255.255.0 up',
    `exec /bin/busybox httpd -f -p ${guestPort} -h /www`,
    '',
  ].join('\n')
}
