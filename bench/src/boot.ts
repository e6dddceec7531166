// Boot: from the start of QEMU to the first page served. Ours is examples/hello; the floor beside it is the same
// kernel with busybox and a shell script, which supervises nothing.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { zstdDecompressSync } from 'node:zlib'
import { buildAppliance } from '@pkg/distro/build'
import { readCpio, writeCpio } from '@pkg/image/cpio'
import { FileTree } from '@pkg/image/tree'
import { boot, type BootOptions } from '@pkg/vm/qemu'

/** The port that both guests serve. */
const guestPort = 8080

/** How long a guest may take to serve its page. */
const pageTimeoutMs = 120_000

/** A guest to measure. */
export interface BootContestant {
  name: string
  options: BootOptions
}

/** Builds both guests. */
export async function bootContestants(): Promise<[ours: BootContestant, floor: BootContestant]> {
  const folder = `${fileURLToPath(new URL('../../.cache/bench', import.meta.url))}/boot`
  mkdirSync(folder, { recursive: true })
  const hello = fileURLToPath(new URL('../../examples/hello', import.meta.url))
  const { kernel, initramfs } = await buildAppliance(hello, { out: `${folder}/hello` })
  const shared = { kernel, append: 'quiet', forwards: [{ hostPort: 0, guestPort }], timeoutMs: pageTimeoutMs }
  const floor = `${folder}/busybox.cpio`
  writeFileSync(floor, await busyboxInitramfs(initramfs))
  return [
    { name: 'solo', options: { ...shared, initrd: initramfs } },
    { name: 'busybox', options: { ...shared, initrd: floor } },
  ]
}

/**
 * Boots a guest and fetches its page; returns nanoseconds since QEMU was started.
 *
 * @throws Error when it does not serve its page in time
 */
export async function measureBoot({ name, options }: BootContestant): Promise<number> {
  const start = performance.now()
  await using vm = await boot(options)
  const url = `http://127.0.0.1:${vm.forwards[0]?.hostPort}/`
  while (performance.now() - start < pageTimeoutMs) {
    try {
      const response = await fetch(url, { signal: AbortSignal.timeout(2000) })
      await response.text()
      if (response.ok) return (performance.now() - start) * 1e6
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
