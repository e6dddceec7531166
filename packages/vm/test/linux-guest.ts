/** A Linux guest for the tests: busybox, some modules of the kernel, and a shell script as init. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { writeCpio } from '@pkg/image/cpio'
import { moduleClosure } from '@pkg/image/modules'
import { FileTree } from '@pkg/image/tree'
import { cacheFolder } from '../src/host/cache.ts'
import { directKernel } from '../src/kernel/direct.ts'
import { testKernel } from './kernel.ts'

/** Options for `startQemu`; the initramfs is gone with `using`. */
export interface LinuxGuest extends Disposable {
  /** The kernel taken out of its bzImage: translated, to unpack it would cost three seconds of each boot. */
  kernel: string
  initrd: string
  /** Words that spare a translated kernel a third of its time: see AGENT_WORDS of boot/start-qemu.ts. */
  append: string
}

/**
 * Every applet by name, the API file systems, and the modules in their order. The shell is PID 1: when
 * the script ends, the kernel panics.
 */
const PROLOGUE = `#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /tmp
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
for module in $(cat /modules.order); do insmod "$module"; done
`

/** The guest whose init runs `script` when the modules `wanted` (those that exist) are loaded. */
export async function linuxGuest(script: string, wanted: readonly string[] = []): Promise<LinuxGuest> {
  if (!existsSync('/bin/busybox')) throw new Error('/bin/busybox is missing: apt install busybox-static')
  const { image, modulesFolder } = await testKernel()
  const { modules } = await moduleClosure({ modulesFolder, wanted: [], optional: wanted })
  const loaded = modules.filter(({ weak }) => !weak)
  const tree = new FileTree()
  const add = (path: string, content: Uint8Array, mode: number): void =>
    void tree.add({ path, type: 'file', mode, content })
  add('/init', new TextEncoder().encode(PROLOGUE + script), 0o755)
  add('/bin/busybox', readFileSync('/bin/busybox'), 0o755)
  add('/modules.order', new TextEncoder().encode(loaded.map(({ path }) => `${path}\n`).join('')), 0o644)
  for (const { path, source } of loaded) add(path, readFileSync(source), 0o644)
  const folder = mkdtempSync(join(tmpdir(), 'solo-vm-test-'))
  const initrd = join(folder, 'initramfs.cpio')
  writeFileSync(initrd, await Array.fromAsync(writeCpio(tree)).then((chunks) => Buffer.concat(chunks)))
  const kernel = await directKernel(image, cacheFolder())
  return {
    kernel,
    initrd,
    append: 'quiet mitigations=off cryptomgr.notests',
    [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }),
  }
}
