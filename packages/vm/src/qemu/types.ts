/** The shapes of `startQemu`'s options and of what it gives back. */
import type { Duplex } from 'node:stream'
import type { FailOn } from '../kernel-log.ts'
import type { Accelerator } from '../kvm.ts'
import type { Architecture, Machine, MachineLimits } from '../machine.ts'
import type { PrivateNetwork } from '../network.ts'
import type { QmpClient, ShutdownCause } from '../qmp.ts'
import type { Disk, DiskOptions } from './disk-types.ts'
import type { MachineName } from './models.ts'

export type { ExitReason, VmExit } from '../machine.ts'
export type { Disk, DiskFault, DiskOptions, DiskThrottle } from './disk-types.ts'
export type { MachineName } from './models.ts'

/** A port of the host's loopback that leads into the guest. */
export interface Forward {
  /** Port of 127.0.0.1 on the host; 0 takes any free one, which {@link QemuMachine.forwards} then names. */
  readonly hostPort: number
  /** Port in the guest. */
  readonly guestPort: number
  /** Default `tcp`. */
  readonly protocol?: 'tcp' | 'udp'
}

/** A card behind QEMU's own NAT, which gives the guest 10.0.2.15 by DHCP and a name server at 10.0.2.3. */
export interface UserNetwork {
  /** Behind QEMU's own NAT. */
  readonly kind: 'user'
  /** Ports of the host that lead into the guest. Default: none. */
  readonly forwards?: readonly Forward[]
  /** Path of a pcap file that gets every packet of this card; an existing file is overwritten. */
  readonly capture?: string
  /** The card's address, such as `52:54:00:12:34:56`. Default: QEMU's own choice, the same for each guest. */
  readonly mac?: string
}

/** A card on a network that guests of this process share. */
export interface PrivateCard {
  /** On a private network. */
  readonly kind: 'private'
  /** The network, made by `privateNetwork` of `@pkg/vm/network`. */
  readonly network: PrivateNetwork
  /** Path of a pcap file that gets every packet of this card; an existing file is overwritten. */
  readonly capture?: string
  /** The card's address. Default: a random one. A restored guest keeps that of the guest that was saved. */
  readonly mac?: string
}

/** One network card. */
export type NetworkOptions = UserNetwork | PrivateCard

/** A folder of the host that the guest can mount by 9p (`mount -t 9p -o trans=virtio TAG /where`). */
export interface ShareOptions {
  /** What the guest asks for: up to 31 characters. */
  readonly tag: string
  /** The folder on the host. */
  readonly host: string
  /** Whether the guest may write. Default: no. */
  readonly writable?: boolean
}

/** UEFI firmware in flash memory, such as Debian's package `ovmf` has it. */
export interface Firmware {
  /** Path of its code; never written. */
  readonly code: string
  /** Path of its variables (boot entries and the like), to begin with those that came with the code. */
  readonly variables: string
  /** Whether what it writes goes into the file. Default: no; it is gone at the guest's end, and survives reboots only. */
  readonly writable?: boolean
}

/** Options of `startQemu`. */
export interface QemuOptions extends MachineLimits {
  /** Path of the kernel: a bzImage, for aarch64 an Image. Not with `firmware`. */
  readonly kernel?: string
  /** Boots from the disks by this firmware, instead of a kernel. Default: none. */
  readonly firmware?: Firmware
  /** Path of the initramfs (a cpio archive, compressed as the kernel can read it). */
  readonly initrd?: string
  /**
   * Words of the kernel's command line, after `console=ttyS0 panic=-1` (a panic then ends QEMU at once);
   * the kernel lets the last of two equal words win.
   */
  readonly append?: string
  /** The guest's memory, in MiB. Default 512. */
  readonly memoryMiB?: number
  /** Virtual CPUs. Default 2: some guests hang with one under QEMU 7.2's TCG. */
  readonly cpus?: number
  /** The guest's processor. Default: that of `machine`, else `x86_64`. */
  readonly architecture?: Architecture
  /**
   * The machine QEMU builds. Default `q35`, for aarch64 `virt`. `microvm` has no PCI and no ISA but a serial port:
   * its kernel needs the module `virtio_mmio`, and its boot is up to 0.25 s shorter under TCG. Under TCG with QEMU 7.2
   * and Linux 6.1 up to a fifth of its boots hang before the first line: the kernel waits in `calibrate_delay` for a
   * tick of a timer that does not come (neither `lpj=` nor `no_timer_check` cures it).
   */
  readonly machine?: MachineName
  /**
   * What runs the guest's instructions. Default `'auto'`: KVM where a guest really boots under it, else TCG, which
   * needs nothing of the host.
   */
  readonly accelerator?: Accelerator | 'auto'
  /**
   * Called once, before the guest runs, with a byte stream to the virtio-serial port `solo.control` of the guest
   * (named so in `/sys/class/virtio-ports`; module `virtio_console`). It stays the same over reboots. Without
   * this option there is no such port.
   */
  readonly onControl?: (control: Duplex) => void
  /** An image that becomes the first virtio disk, read-only (`/dev/vda` once `virtio_blk` is loaded). */
  readonly rootImage?: string
  /** Folders of the host. They need the guest's module `9pnet_virtio`. */
  readonly shares?: readonly ShareOptions[]
  /**
   * Disks on a virtio-scsi controller (module `virtio_scsi`, `sd_mod`), to be pulled out and put back. An empty list
   * gives the controller alone, for {@link QemuMachine.addDisk}.
   */
  readonly disks?: readonly DiskOptions[]
  /** Network cards. Default: one of kind `user`; `[]` for none. */
  readonly networks?: readonly NetworkOptions[]
  /** A balloon for {@link QemuMachine.setMemory} (module `virtio_balloon`). Default: none. */
  readonly balloon?: boolean
  /** Which troubles the kernel tells of on the console end the guest, besides a panic. Default: none. */
  readonly failOn?: FailOn
  /**
   * What a reboot is: the guest's end (default), or a new beginning told by `onReset`. A panic ends it either way,
   * unless `onPanic` says otherwise.
   */
  readonly onReboot?: 'end' | 'restart'
  /**
   * What a panic is: the guest's end, with `GuestPanicError` (default), or the guest's own affair: with a kernel that
   * reboots after it (`panic=10`) and `onReboot: 'restart'` one sees what the machine does next.
   */
  readonly onPanic?: 'end' | 'ignore'
  /** Called after each reset of the machine, with what caused it: `guest-reset` is the guest's own wish. */
  readonly onReset?: (cause: ShutdownCause) => void
  /**
   * Waits for a debugger: at any free TCP port of the loopback (`true`), or at this one. `'wait'`: at a free one, and
   * the guest does not run before the debugger says `continue`. See {@link QemuMachine.gdb}.
   */
  readonly gdb?: boolean | number | 'wait'
  /** Keeps the guest's memory where `saveSnapshot` can copy it from. Default: no. */
  readonly saveable?: boolean
  /**
   * Folder of a snapshot (see `saveSnapshot`) to go on from instead of booting. The other options must describe the
   * same hardware; the kernel and initramfs are for the next reboot.
   */
  readonly restore?: string
  /** Path or name of the QEMU program. Default: `qemu-system-x86_64` or `qemu-system-aarch64`. */
  readonly qemu?: string
  /** More arguments for QEMU, after ours: devices that have no option here. */
  readonly qemuArguments?: readonly string[]
}

/** A network card of a running guest. */
export interface NetworkCard {
  /** What it is connected to. */
  readonly kind: NetworkOptions['kind']
  /** Its forwards, with the host ports that were really taken. */
  readonly forwards: readonly Forward[]
  /**
   * Pulls the cable out, or puts it back: the guest sees the carrier go and come.
   *
   * @throws QmpError the guest has ended
   */
  setLink(up: boolean): Promise<void>
}

/** Where a debugger can attach: `gdb -ex 'target remote 127.0.0.1:PORT'`. */
export interface GdbServer {
  /** TCP port of 127.0.0.1. */
  readonly port: number
  /** Whether the guest stands still until the debugger lets it go. */
  readonly waiting: boolean
}

/** A guest that runs in QEMU. Dispose of it with `await using`. */
export interface QemuMachine extends Machine {
  /** What it runs in. */
  readonly backend: 'qemu'
  /** What runs the guest's instructions. */
  readonly accelerator: Accelerator
  /** QEMU's version, such as `7.2.22`. */
  readonly version: string
  /** All forwarded ports, in the order of the options, with the host ports that were really taken. */
  readonly forwards: readonly Forward[]
  /** The network cards, in the order of the options. */
  readonly networks: readonly NetworkCard[]
  /** The disks, in the order in which they came. */
  readonly disks: readonly Disk[]
  /** The debugger's port, if there is one. */
  readonly gdb: GdbServer | undefined
  /** The machine protocol, for what has no method here. */
  readonly qmp: QmpClient
  /**
   * Puts a further disk in.
   *
   * @throws TypeError there is no controller (option `disks`), or the name is taken
   * @throws QmpError QEMU cannot open it
   */
  addDisk(options: DiskOptions): Promise<Disk>
  /**
   * Asks the guest's balloon to leave `memoryMiB` of its memory to the guest; it takes what it gets, in its time.
   *
   * @throws TypeError there is no balloon (option `balloon`)
   */
  setMemory(memoryMiB: number): Promise<void>
  /**
   * Sends a non-maskable interrupt to every CPU. A kernel with `unknown_nmi_panic` on its command line panics.
   *
   * @throws UnsupportedError the machine has none (`virt`)
   */
  nmi(): Promise<void>
}
