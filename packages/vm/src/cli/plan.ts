// From flags to what is booted and what runs in it. Nothing is started here.
import { basename, resolve } from 'node:path'
import type { BootOptions, Share } from '../boot/options.ts'
import type { Architecture, Backend } from '../machine.ts'
import type { DiskOptions } from '../qemu/disk-types.ts'
import type { Forward, MachineName } from '../qemu/types.ts'
import type { KernelFlag, ShareFlag, VariableFlag } from './values.ts'

/** The flags of the command. */
export interface Flags {
  readonly backend: Backend | 'auto'
  readonly shell: boolean
  readonly share?: readonly ShareFlag[]
  readonly noShare: boolean
  readonly readOnly: boolean
  readonly env?: readonly VariableFlag[]
  readonly kernel?: KernelFlag
  readonly modulesFolder?: string
  readonly module?: readonly string[]
  readonly memory?: number
  readonly cpus?: number
  readonly disk?: readonly DiskOptions[]
  readonly network?: 'none' | 'user'
  readonly forward?: readonly Forward[]
  readonly capture?: string
  readonly gdb?: true | number | 'wait'
  readonly arch?: Architecture
  readonly machine?: MachineName
  readonly snapshot: boolean
  readonly timeout?: number
  readonly tty?: boolean
  readonly console: boolean
  readonly verbose: boolean
}

/** What the plan must know of the host. */
export interface Surroundings {
  /** The present folder. */
  readonly folder: string
  /** The host's processor. */
  readonly architecture: Architecture
  /** The user's shell, by `SHELL`. */
  readonly shell: string | undefined
  /** Whether both standard input and standard output are terminals. */
  readonly terminal: boolean
}

/** What to do. */
export interface Plan {
  readonly boot: BootOptions
  readonly file: string
  readonly args: readonly string[]
  /** Working folder in the guest. */
  readonly folder: string
  /** Whether the program gets a terminal of its own. */
  readonly tty: boolean
}

/** Flags that do not fit together. */
export class UsageError extends Error {
  override name = 'UsageError'
}

/** Folders that a machine has for itself, though it sees the host's root: see `bringUp`. */
const OWN_FOLDERS = /^\/(?:dev|proc|run|sys|tmp)(?:\/|$)/

/**
 * Puts the flags together.
 *
 * @throws {@link UsageError} what does not fit
 */
export function plan(flags: Flags, program: readonly string[], host: Surroundings): Plan {
  checkKernel(flags)
  const foreign = flags.arch !== undefined && flags.arch !== host.architecture
  const [file, ...args] = command(flags, program, foreign ? undefined : host.shell)
  const shares = planShares(flags, host.folder)
  const shared = shares.some(({ guest }) => `${host.folder}/`.startsWith(`${guest}/`))
  return {
    boot: { ...machineOptions(flags), shares, root: foreign ? 'guest' : 'host' },
    file,
    args,
    // What is not shared is not there: in the guest's own small root, and below what each machine has of its own.
    folder: !shared && (foreign || OWN_FOLDERS.test(host.folder)) ? '/' : host.folder,
    tty: flags.tty ?? host.terminal,
  }
}

function command(
  { shell }: Flags,
  program: readonly string[],
  hostShell: string | undefined,
): readonly [file: string, ...args: string[]] {
  const [file, ...args] = program
  if (shell && file !== undefined)
    throw new UsageError(`--shell and a program (${file}): only one of them can run`)
  if (file === '') throw new UsageError('expected a program, got an empty word')
  if (file !== undefined) return [file, ...args]
  return [hostShell !== undefined && hostShell.startsWith('/') ? hostShell : '/bin/sh']
}

function checkKernel({ kernel, modulesFolder }: Flags): void {
  if (modulesFolder !== undefined && (kernel === undefined || !('image' in kernel)))
    throw new UsageError('--modules-folder goes with a kernel that is a file: --kernel ./FILE')
}

function planShares({ share = [], noShare, readOnly }: Flags, folder: string): Share[] {
  if (noShare && readOnly) throw new UsageError('--no-share and --read-only: only one of them can be')
  const shares = share.map((given) => {
    const host = resolve(folder, given.host)
    return { host, guest: resolve('/', given.guest ?? host), writable: !given.readOnly }
  })
  // What was asked for by name wins over the folder that comes by itself.
  if (noShare || shares.some(({ guest }) => guest === folder)) return checked(shares)
  if (folder === '/' && shares.length > 0) return checked(shares)
  return checked([{ host: folder, guest: folder, writable: !readOnly }, ...shares])
}

function checked(shares: readonly Share[]): Share[] {
  const seen = new Set<string>()
  for (const { host, guest } of shares) {
    if (guest === '/') {
      const cure = host === '/' ? 'go to a folder of yours, or say --no-share' : 'name a folder in the guest'
      throw new UsageError(`${host} would take the place of the machine's whole root: ${cure}`)
    }
    if (seen.has(guest)) throw new UsageError(`two folders for ${guest} of the machine`)
    seen.add(guest)
  }
  return [...shares]
}

function machineOptions(flags: Flags): BootOptions {
  const { kernel, gdb, arch, machine, memory, cpus } = flags
  const qemu = flags.backend === 'qemu' || flags.backend === 'auto'
  const disks = flags.disk ?? []
  return {
    backend: flags.backend,
    // A machine that a debugger holds for hours is not hung, and one that somebody works in may stay.
    timeoutMs: flags.timeout ?? Number.POSITIVE_INFINITY,
    ...(gdb === undefined ? {} : { gdb, hangTimeoutMs: Number.POSITIVE_INFINITY }),
    ...(arch === undefined ? {} : { architecture: arch }),
    ...(machine === undefined ? {} : { machine }),
    ...(memory === undefined ? {} : { memoryMiB: memory }),
    ...(cpus === undefined ? {} : { cpus }),
    ...(kernel === undefined ? {} : { kernel: kernelChoice(kernel, flags.modulesFolder) }),
    ...(flags.module === undefined ? {} : { modules: flags.module }),
    ...(disks.length === 0 ? {} : { disks: disks.map(named) }),
    ...networkOptions(flags),
    // `auto` must stay free to choose; and who debugs the kernel wants to see it boot.
    ...(flags.snapshot && qemu && flags.backend !== 'auto' && gdb === undefined ? { snapshot: true } : {}),
  }
}

function kernelChoice(kernel: KernelFlag, modulesFolder: string | undefined): BootOptions['kernel'] & object {
  if ('package' in kernel) return kernel
  const image = resolve(kernel.image)
  if (modulesFolder === undefined) return { image }
  const modules = resolve(modulesFolder)
  if (basename(modules) === 'modules')
    throw new UsageError(`--modules-folder: expected …/lib/modules/RELEASE, got ${modules}`)
  return { image, modules }
}

function named(disk: DiskOptions, index: number): DiskOptions {
  const name = `disk${index}`
  return disk.file === undefined ? { ...disk, name } : { ...disk, name, file: resolve(disk.file) }
}

/** A card when anything asks for one: a forwarded port or a capture means nothing without. */
function networkOptions({ network, forward = [], capture }: Flags): Pick<BootOptions, 'networks'> {
  const wanted = forward.length > 0 ? '--forward' : capture === undefined ? undefined : '--capture'
  if (network === 'none' && wanted !== undefined)
    throw new UsageError(`${wanted} needs a network: leave --network none away`)
  if ((network ?? 'none') === 'none' && wanted === undefined) return {}
  return {
    networks: [
      {
        kind: 'user',
        forwards: forward,
        ...(capture === undefined ? {} : { capture: resolve(capture) }),
      },
    ],
  }
}
