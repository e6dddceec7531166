// Releases that fail, each in its own way, made of a good one: what a bad build, a bad disk or a bad day leaves in the
// slot that is on trial.
import { readFile } from 'node:fs/promises'
import { writeCpio } from '@pkg/image/cpio'
import { readErofs } from '@pkg/image/erofs'
import { hostFile } from '@pkg/image/file-source'
import { moduleClosure } from '@pkg/image/modules'
import { bytesAccess } from '@pkg/image/random-access'
import { FileTree } from '@pkg/image/tree'
import { prepareUki, readUki, readUkiText } from '@pkg/image/uki'
import { VerityHasher } from '@pkg/image/verity'
import { openArchive } from '@pkg/vm/archive'
import { debianKernel } from '@pkg/vm/guest-kernel'
import { cacheFolder } from '@pkg/vm/host'
import { provideBootFiles } from '../../src/disk/provide.ts'
import { openBuiltDisk } from '../../src/release/built-disk.ts'
import { stage1, stage1Elf, stage1Folders, stage1Modules } from '../../src/stage1.ts'
import type { BuiltRelease } from './appliance.ts'

/** What a slot gets. */
export interface SlotBytes {
  /** Image and hash tree. */
  readonly root: Uint8Array
  readonly uki: Uint8Array
}

/** A release as it was built. */
export async function asBuilt({ build }: BuiltRelease): Promise<SlotBytes> {
  await using disk = await openBuiltDisk(build.folder)
  const { root, uki } = disk.content
  return {
    root: Buffer.concat(await Array.fromAsync(root.open())),
    uki: Buffer.concat(await Array.fromAsync(uki.open())),
  }
}

/** The head of the kernel inside the kernel image is zeros: the firmware cannot load it. */
export async function withoutKernel({ root, uki }: SlotBytes): Promise<SlotBytes> {
  const damaged = Uint8Array.from(uki)
  const kernel = (await readUki(bytesAccess(uki))).sections.find(({ name }) => name === '.linux')
  if (kernel === undefined) throw new Error('the kernel image has no kernel')
  damaged.fill(0, kernel.offset, kernel.offset + BLOCK)
  return { root, uki: damaged }
}

/** The initramfs inside the kernel image has been written over: stage 1 is no program any more. */
export async function withRottenInitramfs({ root, uki }: SlotBytes): Promise<SlotBytes> {
  const damaged = Uint8Array.from(uki)
  const initrd = (await readUki(bytesAccess(uki))).sections.find(({ name }) => name === '.initrd')
  if (initrd === undefined) throw new Error('the kernel image has no initramfs')
  for (let at = initrd.offset; at < initrd.offset + 2 * BLOCK; at += 1)
    damaged[at] = (damaged[at] ?? 0) ^ 0xff
  return { root, uki: damaged }
}

/** Where the PE header's place is told, and its machine field behind it (PE format, § COFF file header). */
const PE_OFFSET = 0x3c
const PE_MACHINE = 4
const ARM64 = 0xaa64

/** The kernel image says that it is for another processor, as that of another board does. */
export function forAnotherMachine({ root, uki }: SlotBytes): SlotBytes {
  const changed = Buffer.from(uki)
  changed.writeUInt16LE(ARM64, changed.readUInt32LE(PE_OFFSET) + PE_MACHINE)
  return { root, uki: changed }
}

/** A root of which a part of the runtime is lost: dm-verity refuses it when it is read. */
export async function withBadRoot({ root, uki }: SlotBytes): Promise<SlotBytes> {
  const damaged = Uint8Array.from(root)
  const at = await placeOf(root, '/bin/bun')
  // Bytes of its first page are needed to execute it, those behind it soon.
  damaged.fill(0xff, at + BLOCK, at + 64 * BLOCK)
  return { root: damaged, uki }
}

/** A release whose PID 1 throws before it has done anything; sealed as a build seals it. */
export async function withThrowingInit({ root, uki }: SlotBytes): Promise<SlotBytes> {
  const changed = Uint8Array.from(root)
  const image = await readErofs(bytesAccess(root))
  const thrown = new TextEncoder().encode('throw new Error("PID 1 of a bad build")//')
  changed.set(thrown, await placeOf(root, '/sbin/init.js'))
  const before = new TextDecoder('latin1').decode(uki)
  const [, hash = '', salt = ''] = / sha256 ([0-9a-f]{64}) ([0-9a-f]+)/.exec(before) ?? []
  const hasher = new VerityHasher({ salt: new Uint8Array(Buffer.from(salt, 'hex')), uuid: image.uuid })
  hasher.update(changed.subarray(0, image.sizeBytes))
  const tree = hasher.finish()
  changed.set(Buffer.concat([...tree.bytes()]), image.sizeBytes)
  const sealed = Buffer.from(uki)
  sealed.write(tree.rootHash, before.indexOf(hash), 'latin1')
  return { root: changed, uki: sealed }
}

/** How long the machine of {@link withHangingStage1} is silent before its watchdog resets it. */
const WATCHDOG_SECONDS = 20

/** A release whose stage 1 looks for a root that is nowhere, for ever; its kernel has drivers of real watchdogs. */
export async function withHangingStage1({ root, uki }: SlotBytes): Promise<SlotBytes> {
  const kernel = await debianKernel({ architecture: 'x86_64', flavour: 'generic' })
  const { modulesFolder, release } = kernel
  if (modulesFolder === undefined) throw new Error(`${release} has no modules`)
  const { modules } = await moduleClosure({ modulesFolder, release, wanted: [], optional: stage1Modules })
  const tree = new FileTree()
  for (const path of stage1Folders) tree.add({ path, type: 'directory' })
  tree.add({ path: '/dev/console', type: 'char', major: 5, minor: 1 })
  for (const { name, source } of modules)
    tree.add({ path: `/${name}.ko`, type: 'file', content: await hostFile(source) })
  const program = stage1({
    modules: modules.map(({ name }) => `/${name}.ko`),
    rootImageId: '00000000-0000-0000-0000-000000000000',
    verity: { rootHash: '00'.repeat(32), salt: '00', dataBlocks: 1, hashStartBlock: 2 },
    init: ['/bin/bun', '/sbin/init.js'],
    environment: {},
    deadlineMs: DAY_MS,
    watchdogSeconds: WATCHDOG_SECONDS,
  })
  tree.add({ path: '/init', type: 'file', mode: 0o755, content: stage1Elf(program, 'x86_64') })
  const archive = await openArchive({ architecture: 'x86_64' })
  const { stub } = await provideBootFiles(archive, cacheFolder(), 'x86_64')
  const file = bytesAccess(uki)
  const headers = await readUki(file)
  const image = await prepareUki({
    stub: new Uint8Array(await readFile(stub)),
    linux: await hostFile(kernel.image),
    initrd: Buffer.concat(await Array.fromAsync(writeCpio(tree))),
    cmdline: (await readUkiText(file, headers, '.cmdline')) ?? '',
    osRelease: (await readUkiText(file, headers, '.osrel')) ?? '',
  })
  return { root, uki: Buffer.concat(await Array.fromAsync(image.open())) }
}

const BLOCK = 4096
const DAY_MS = 86_400_000

/** Where a file's bytes begin in an image, which has them in one piece, uncompressed. */
async function placeOf(root: Uint8Array, path: string): Promise<number> {
  const image = await readErofs(bytesAccess(root))
  for await (const chunk of (await image.file(path)).open()) {
    const at = Buffer.from(root.buffer, root.byteOffset, root.byteLength).indexOf(chunk.subarray(0, BLOCK))
    if (at >= 0) return at
  }
  throw new Error(`the image has no bytes of ${path}`)
}
