/** Guests in QEMU, as `boot` starts them: booted, or restored from a machine that was saved when it had booted. */
import { existsSync } from 'node:fs'
import { randomBytes } from 'node:crypto'
import { cpus as hostCpus } from 'node:os'
import { join, resolve } from 'node:path'
import type { Duplex } from 'node:stream'
import { UnsupportedError, VmError } from '../errors.ts'
import { type GuestImage, guestImage } from '../guest-image.ts'
import { stampOf } from '../guest-image/agent-bundle.ts'
import { debianKernel } from '../guest-kernel.ts'
import { cacheFolder } from '../host/cache.ts'
import { hostArchitecture } from '../host/system.ts'
import type { Kernel } from '../kernel.ts'
import { directKernel } from '../kernel/direct.ts'
import { type QemuMachine, type QemuOptions, saveSnapshot, SnapshotError, startQemu } from '../qemu.ts'
import { findProgram } from '../host/find-program.ts'
import { assemble, type Assembly, hasAgent, limitsOf, waitForDevice } from './assemble.ts'
import { ROOT_TAG, type ShareKind, shareTag } from './bring-up.ts'
import { AGENT_ENVIRONMENT, agentCommand, initCommand, initProgram } from './command.ts'
import type { BootOptions } from './options.ts'
import { dropSnapshot, findSnapshot, keepSnapshot, snapshotKey } from './snapshot-cache.ts'
import { startUnstalled, watchBoot } from './stall.ts'
import type { Vm } from './vm.ts'

/**
 * Words for the kernel of a guest with an agent; whoever wants it otherwise appends the opposite. `mitigations=off`: a
 * guest's programs are no attackers of its kernel, and translated, page table isolation empties QEMU's own TLB at every
 * system call. `cryptomgr.notests`: tests of the kernel's ciphers, a tenth of a second.
 */
const AGENT_WORDS = 'quiet mitigations=off cryptomgr.notests'

/** A guest that is about to be started. */
interface Plan {
  readonly options: BootOptions
  /** What is the same in the saved machine and in those restored from it. */
  readonly hardware: QemuOptions & { readonly kernel: string }
  readonly shareKind: ShareKind
  readonly imageKey: string
}

/** Boots a guest in QEMU. @throws as `boot` */
export async function bootQemu(options: BootOptions): Promise<Vm> {
  const plan = await planOf(options)
  const { snapshot = false, disks = [] } = options
  if (snapshot === false)
    return await startUnstalled(
      (isWatched) => assemble(options, { ...assemblyOf(plan, { disks }), ...watchOf(plan, isWatched) }),
      options.onProgress,
    )
  try {
    return await restore(plan)
  } catch (error) {
    // Saved by another QEMU, or damaged: it is made anew, once.
    if (!(error instanceof SnapshotError)) throw error
    dropSnapshot(findSnapshot(keyOf(plan)) ?? '')
    return await restore(plan)
  }
}

async function planOf(options: BootOptions): Promise<Plan> {
  const { architecture = hostArchitecture(), init, initrd, shares = [], root = 'guest' } = options
  const modules = modulesOf(options)
  const kernel = await kernelOf(options)
  const image: GuestImage =
    initrd === undefined
      ? await guestImage({
          architecture,
          backend: 'qemu',
          kernel,
          ...(modules === undefined ? {} : { modules }),
          programs: init === undefined ? [] : [initProgram(init[0])],
          init: initCommand(init) ?? agentCommand('virtio:solo.control'),
          ...(init === undefined ? { env: AGENT_ENVIRONMENT } : {}),
          ...notesOf(options),
        })
      : { key: stampOf(initrd), initrd }
  const shareKind = shareKindOf(kernel, options)
  const nineP = shareKind === '9p'
  // An image that came with an initrd is booted as it is.
  const isUnpacked = architecture === 'x86_64' && initrd === undefined
  return {
    options,
    shareKind,
    imageKey: image.key,
    hardware: {
      kernel: isUnpacked ? await directKernel(kernel.image, cacheFolder()) : kernel.image,
      ...(image.initrd === undefined ? {} : { initrd: image.initrd }),
      ...(image.rootImage === undefined ? {} : { rootImage: image.rootImage }),
      architecture,
      append: [hasAgent(options) ? AGENT_WORDS : '', options.append ?? ''].join(' ').trim(),
      networks: options.networks ?? [],
      shares: [
        ...(nineP
          ? shares.map(({ host, writable = false }, index) => share(shareTag(index), host, writable))
          : []),
        ...(nineP && root === 'host' ? [share(ROOT_TAG, '/', false)] : []),
      ],
      ...definedOf(options, [
        'memoryMiB',
        'balloon',
        'cpus',
        'machine',
        'accelerator',
        'gdb',
        'qemuArguments',
      ]),
      failOn: hasAgent(options) ? { lockup: true, oom: true } : {},
      onReboot: hasAgent(options) ? 'restart' : 'end',
    },
  }
}

/** The guest's kernel does not ask for a balloon's driver by itself. */
function modulesOf({ modules, balloon = false }: BootOptions): BootOptions['modules'] {
  return balloon && modules !== 'all' ? [...(modules ?? []), 'virtio_balloon'] : modules
}

function share(
  tag: string,
  host: string,
  writable: boolean,
): { tag: string; host: string; writable: boolean } {
  return { tag, host: resolve(host), writable }
}

function definedOf<T extends object, K extends keyof T>(source: T, names: readonly K[]): Partial<Pick<T, K>> {
  const entries = names.filter((name) => source[name] !== undefined).map((name) => [name, source[name]])
  return Object.fromEntries(entries) as Partial<Pick<T, K>>
}

function notesOf({ onProgress }: BootOptions): { onNote?: (line: string) => void } {
  return onProgress === undefined ? {} : { onNote: onProgress }
}

async function kernelOf(options: BootOptions): Promise<Kernel> {
  const { kernel, architecture = hostArchitecture() } = options
  const place = { architecture, ...notesOf(options) }
  if (kernel === undefined) return await debianKernel(place)
  if ('package' in kernel) return await debianKernel({ ...place, package: kernel.package })
  const { image, modules } = kernel
  const release = modules?.split('/').findLast((part) => part !== '') ?? 'unknown'
  return { image, release, modulesFolder: modules, origin: image }
}

/** Read-only shares can be copied where the kernel has no 9p; others cannot be had there. */
function shareKindOf(kernel: Kernel, { shares = [], root }: BootOptions): ShareKind {
  const { modulesFolder, release } = kernel
  if (modulesFolder !== undefined && existsSync(join(modulesFolder, 'kernel/fs/9p'))) return '9p'
  const feature = root === 'host' ? "root: 'host'" : 'shares'
  if (root === 'host' || shares.some(({ writable }) => writable))
    throw new UnsupportedError([
      {
        backend: 'qemu',
        feature,
        reason: `kernel ${release} has no 9p; Debian's generic one (the default) has it`,
      },
    ])
  return 'copy'
}

type Machine = Pick<QemuOptions, 'disks' | 'restore' | 'saveable'>

function assemblyOf(plan: Plan, machine: Machine): Assembly<QemuMachine> {
  return {
    start: (onControl: ((control: Duplex) => void) | undefined) =>
      startQemu({
        ...limitsOf(plan.options),
        ...plan.hardware,
        ...machine,
        ...(onControl === undefined ? {} : { onControl }),
      }),
    shareKind: plan.shareKind,
    device: findDisk,
    qemu: (started) => started,
  }
}

/** Only a root image tells by its reads how far a boot is; and who debugs a guest may let it stand still. */
function watchOf({ options, hardware }: Plan, isWatched: boolean): Pick<Assembly<QemuMachine>, 'watch'> {
  const { gdb = false } = options
  return isWatched && hardware.rootImage !== undefined && gdb === false ? { watch: watchBoot } : {}
}

async function restore(plan: Plan): Promise<Vm> {
  const key = keyOf(plan)
  const folder =
    findSnapshot(key) ?? (await keepSnapshot(key, (scratch) => save(plan, join(scratch, 'machine'))))
  return await assemble(plan.options, {
    ...assemblyOf(plan, { disks: [], restore: join(folder, 'machine') }),
    greeted: async (vm) => {
      await renew(vm)
      for (const disk of plan.options.disks ?? []) await vm.qemu?.addDisk(disk)
    },
  })
}

/** Boots the machine, has it prepared, and saves it. Shares are mounted after the restore: they cannot be saved. */
async function save(plan: Plan, folder: string): Promise<void> {
  const { snapshot } = plan.options
  await using vm = await startUnstalled(
    (isWatched) =>
      assemble(plan.options, {
        ...assemblyOf(plan, { disks: [], saveable: true }),
        ...watchOf(plan, isWatched),
        step: 'booting a machine to be saved, once for all guests like it',
        bare: true,
      }),
    plan.options.onProgress,
  )
  await warmUp(vm, plan.options.root)
  await renew(vm)
  if (typeof snapshot === 'object') await snapshot.prepare(vm)
  if (vm.qemu) await saveSnapshot(vm.qemu, folder)
}

/**
 * Does once what most tests do first: the runner is up then, and modules, programs and pages that a restored guest
 * would have to load lie in its memory. That spares each of them a third of the time of its first function.
 */
async function warmUp(vm: Vm, root: BootOptions['root']): Promise<void> {
  await vm.run(async () => {
    await Promise.all([import('node:os'), import('node:fs/promises'), import('node:child_process')])
  })
  // Programs of the host's root are not there before it is mounted, which is after the restore.
  if (root !== 'host') await vm.exec('/bin/bun', ['--revision'])
  const note = '/run/warm-up'
  await vm.writeFile(note, '')
  await vm.readText(note)
  await vm.remove(note)
  await vm.info()
}

/**
 * Gives a restored guest its own randomness and the time.
 *
 * @throws VmError it could not have them: guests that share their randomness are not safe to test with
 */
async function renew(vm: Vm): Promise<void> {
  const problems = await vm.restored({ nowMs: Date.now(), seed: new Uint8Array(randomBytes(64)) })
  if (problems.length > 0) throw new VmError(`the restored guest was not renewed: ${problems.join('; ')}`)
}

function keyOf({ options, hardware, imageKey }: Plan): string {
  const { snapshot } = options
  const qemu = findProgram(hardware.architecture === 'aarch64' ? 'qemu-system-aarch64' : 'qemu-system-x86_64')
  const { networks = [], shares = [], ...rest } = hardware
  return snapshotKey([
    imageKey,
    stampOf(hardware.kernel),
    qemu === undefined ? '' : stampOf(qemu),
    hostCpus()[0]?.model,
    rest,
    networks.map(({ kind }) => kind),
    shares.map(({ tag, writable }) => [tag, writable]),
    typeof snapshot === 'object' ? snapshot.key : '',
  ])
}

/** A disk's serial number is its name: the tail of VPD page 0x80, or `serial` of a virtio disk. */
function findDisk(vm: Vm, name: string): Promise<string> {
  return waitForDevice(() => vm.run(findBySerial, name), name)
}

/** Runs in the guest. */
async function findBySerial(name: string): Promise<string | undefined> {
  const { readdirSync, readFileSync } = await import('node:fs')
  const read = (path: string): string => {
    try {
      return readFileSync(path, 'latin1')
    } catch {
      return ''
    }
  }
  const found = readdirSync('/sys/block').find((block) => {
    const page = read(`/sys/block/${block}/device/vpd_pg80`)
    return page.slice(4).trim() === name || read(`/sys/block/${block}/serial`).trim() === name
  })
  return found === undefined ? undefined : `/dev/${found}`
}
