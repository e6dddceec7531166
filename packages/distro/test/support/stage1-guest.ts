// Guests whose /init is stage 1, booted by QEMU with a kernel of Debian's.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { writeCpio } from '@pkg/image/cpio'
import { hostFile } from '@pkg/image/file-source'
import { moduleClosure } from '@pkg/image/modules'
import { FileTree } from '@pkg/image/tree'
import { debianKernel } from '@pkg/vm/guest-kernel'
import { cacheFolder } from '@pkg/vm/host'
import type { Kernel } from '@pkg/vm/kernel'
import type { Architecture } from '@pkg/vm/machine'
import { type QemuMachine, type QemuOptions, startQemu } from '@pkg/vm/qemu'
import {
  type ModuleProfile,
  type Stage1Options,
  stage1,
  stage1Elf,
  stage1Folders,
  stage1ModulesOf,
} from '../../src/stage1.ts'
import { directKernel } from '../../../vm/src/kernel/direct.ts'
import { CPUS } from './disk-machine.ts'
import type { TestRoot } from './sealed-root.ts'

/** What a guest is made of. */
export interface GuestOptions {
  /** The root that stage 1 is to find. */
  readonly root: TestRoot
  /** Debian's cloud kernel, or the one for real machines. */
  readonly flavour?: 'cloud' | 'generic'
  readonly profile?: ModuleProfile
  /** Default: x86_64. */
  readonly architecture?: Architecture
  /** Changes what stage 1 is made from. */
  readonly stage1?: Partial<Stage1Options>
  readonly qemu?: Partial<QemuOptions>
}

/** A disk on the bus `device`, such as `virtio-blk-pci`. What the guest writes is forgotten. */
export function diskArguments(file: string, device: string, index = 0): string[] {
  const drive = `file=${file},format=raw,if=none,id=drive${index},snapshot=on`
  return ['-drive', drive, '-device', `${device},drive=drive${index}`]
}

/** Boots it; the files are gone when the machine is. */
export async function stage1Guest(options: GuestOptions): Promise<QemuMachine> {
  const { flavour = 'cloud', architecture = 'x86_64', qemu = {} } = options
  const kernel = await debianKernel({ architecture, flavour })
  const folder = mkdtempSync(join(tmpdir(), 'solo-stage1-'))
  try {
    const initrd = join(folder, 'initramfs.cpio')
    writeFileSync(initrd, await initramfs(options, kernel))
    const machine = await startQemu({
      // Translated, a packed kernel takes three seconds to unpack itself.
      ...{ architecture, kernel: await directKernel(kernel.image, cacheFolder()), initrd },
      ...{ cpus: CPUS, memoryMiB: 256, timeoutMs: 120_000, networks: [] },
      // Words that the kernel would hand to init as its environment and arguments.
      append: 'quiet mitigations=off cryptomgr.notests LD_PRELOAD=/evil.so BUN_OPTIONS=--evil evil-argument',
      ...qemu,
    })
    void machine.exited.finally(() => rmSync(folder, { recursive: true, force: true }))
    return machine
  } catch (error) {
    rmSync(folder, { recursive: true, force: true })
    throw error
  }
}

async function initramfs(
  { root, profile = 'virtio', architecture = 'x86_64', stage1: changes = {} }: GuestOptions,
  { modulesFolder, release }: Kernel,
): Promise<Uint8Array> {
  if (modulesFolder === undefined) throw new Error(`${release} has no modules`)
  const optional = stage1ModulesOf[profile]
  const { modules } = await moduleClosure({ modulesFolder, release, wanted: [], optional })
  const tree = new FileTree()
  for (const path of stage1Folders) tree.add({ path, type: 'directory' })
  tree.add({ path: '/dev/console', type: 'char', major: 5, minor: 1 })
  for (const { name, source } of modules) {
    tree.add({ path: `/${name}.ko`, type: 'file', content: await hostFile(source) })
  }
  const program = stage1({
    modules: modules.map(({ name }) => `/${name}.ko`),
    rootImageId: root.imageId,
    verity: root.verity,
    init: ['/bin/busybox', 'sh', '/start.sh'],
    environment: { PATH: '/bin', MARK: 'fixed' },
    deadlineMs: 20_000,
    rebootDelayMs: 1_000,
    ...changes,
  })
  tree.add({ path: '/init', type: 'file', mode: 0o755, content: stage1Elf(program, architecture) })
  return Buffer.concat(await Array.fromAsync(writeCpio(tree)))
}
