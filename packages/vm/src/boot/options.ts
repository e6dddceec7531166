/** The options of `boot`: what a guest is to be, whatever it runs in. */
import type { Accelerator } from '../kvm.ts'
import type { Architecture, Backend, MachineLimits } from '../machine.ts'
import type { Vm } from './vm.ts'
import type { DiskOptions, GdbServer, MachineName, NetworkOptions } from '../qemu/types.ts'

/**
 * What a test will do in the guest and no option says: `auto` then passes over a backend that cannot.
 *
 * `kernel`: a kernel of its own. `modules`: load kernel modules. `clock`: set the clock. `block-devices`: real ones
 * (loop, device-mapper). `reboot`. `hot-plug`: disks and networks that come and go. `nmi`. `smp`: several processors.
 */
export type Need = 'kernel' | 'modules' | 'clock' | 'block-devices' | 'reboot' | 'hot-plug' | 'nmi' | 'smp'

/** A kernel to boot instead of Debian's. */
export type KernelChoice =
  /** A package of the archive, such as `linux-image-cloud-amd64`. */
  | { readonly package: string }
  /** Files: the image, and the folder `…/lib/modules/<release>` of its modules. */
  | { readonly image: string; readonly modules?: string }

/** A folder of the host that the guest sees. */
export interface Share {
  /** Folder on the host. */
  readonly host: string
  /** Absolute path in the guest; made when it is not there. */
  readonly guest: string
  /** Whether the guest may write to the host's folder. Default: no. */
  readonly writable?: boolean
}

/** A machine that is made ready once and then restored for every test. */
export interface Prepared<Guest> {
  /** Names what {@link Prepared.prepare} does: another text is another snapshot. */
  readonly key: string
  /** Runs once in the freshly booted guest, before it is saved. */
  readonly prepare: (vm: Guest) => Promise<void>
}

/** Options of `boot`. */
export interface BootOptions extends MachineLimits {
  /** What the guest runs in. Default `'auto'`: the cheapest that can do what the other options ask for. */
  readonly backend?: Backend | 'auto'
  /** What the guest must be able to do, beyond what the other options say. */
  readonly needs?: readonly Need[]
  /** The guest's processor. Default: the host's. */
  readonly architecture?: Architecture
  /** The machine that QEMU builds. Default `q35`, for aarch64 `virt`. */
  readonly machine?: MachineName
  /** The kernel. Default: Debian's generic one for the architecture, fetched once through the host's apt. */
  readonly kernel?: KernelChoice
  /** An initramfs of yours: the guest is then all yours and has no agent. Needs a kernel image. */
  readonly initrd?: string
  /**
   * A program of the host (with its arguments) as PID 1 instead of the agent: driven by its console, judged by its
   * exit status (`exited` → `init`). Its libraries are brought along. It has its own path in the guest, or lies in
   * /sbin where guests mount over that (/tmp, /run and the like).
   */
  readonly init?: readonly [program: string, ...args: string[]]
  /** What a guest without the agent must have printed before it ends, else `MissingEndMarkError`. */
  readonly endMark?: RegExp
  /** Words for the kernel's command line. */
  readonly append?: string
  /** The guest's memory, in MiB. Default 512. */
  readonly memoryMiB?: number
  /**
   * A balloon, by which `vm.qemu.setMemory` takes memory away from the guest and gives it back. QEMU only, and not with
   * `snapshot`; with `modules: 'all'` its module `virtio_balloon` is yours to load. Default: none.
   */
  readonly balloon?: boolean
  /** Virtual processors. Default 2 under QEMU. */
  readonly cpus?: number
  /**
   * Kernel modules to have, and to load, by name; what they depend on comes by itself. `'all'`: every module is there,
   * none more is loaded.
   */
  readonly modules?: readonly string[] | 'all'
  /** Disks; `vm.device(name)` is their path in the guest. */
  readonly disks?: readonly DiskOptions[]
  /** Network cards. Default: none but the loopback. */
  readonly networks?: readonly NetworkOptions[]
  /** Folders of the host that the guest sees. */
  readonly shares?: readonly Share[]
  /**
   * Where programs find themselves: in the guest's own small root (default), or in a read-only view of the host's
   * root, whose changes are kept in the guest's memory.
   */
  readonly root?: 'guest' | 'host'
  /** Restore the guest from a machine saved when it had booted (or was prepared). QEMU only. Default: false. */
  readonly snapshot?: boolean | Prepared<Vm>
  /** What runs QEMU's guest. Default `'auto'`. */
  readonly accelerator?: Accelerator | 'auto'
  /** Lets a debugger attach: at any free TCP port of the loopback (`true`) or this one; `'wait'` holds the guest for it. */
  readonly gdb?: boolean | number | 'wait'
  /**
   * Called as soon as a debugger can attach, before the guest has booted. With `gdb: 'wait'` `boot` resolves only after
   * the debugger has let the guest go.
   */
  readonly onGdb?: (server: GdbServer) => void
  /**
   * Called with a few words when something begins that may take seconds: what is done once for a kind of guest
   * (`downloading linux-image-6.1.0-56-amd64`, `building the guest's root`, `booting a machine to be saved`), and the
   * start of the guest itself.
   */
  readonly onProgress?: (step: string) => void
  /** More arguments for QEMU. */
  readonly qemuArguments?: readonly string[]
  /**
   * How long the agent may be silent, in milliseconds, before the guest counts as hung and is killed. Default 30,000;
   * with `gdb` `Infinity`, as a guest is silent while it is debugged.
   */
  readonly hangTimeoutMs?: number
}
