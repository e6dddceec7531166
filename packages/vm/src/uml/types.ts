/** The options of `startUml`. */
import type { Duplex } from 'node:stream'
import type { FailOn } from '../kernel-log.ts'
import type { MachineLimits } from '../machine.ts'
import type { Share } from '../namespace/types.ts'
import type { OnReboot } from '../process-machine/process-machine.ts'

/** A disk of the guest's: `/dev/ubda` is the first, `/dev/ubdb` the second, up to eight. */
export interface UmlDisk {
  /** A raw image. Without it the disk is a new, empty file that is gone with the guest. */
  file?: string
  /** Size of a new disk, in bytes, rounded up to 512. Required without `file`. */
  sizeBytes?: number
  /**
   * `rw` (default): the guest's writes go to the file. `ro`: the disk cannot be written to. `cow`: it can, but the
   * writes are gone with the guest.
   */
  access?: 'rw' | 'ro' | 'cow'
}

/** Options of `startUml`. */
export interface UmlOptions extends MachineLimits {
  /** The folder that becomes the root. It is only read: what the guest writes goes to its memory. */
  folder: string
  /** Absolute path of PID 1 in the guest: the agent's runtime, or any init. */
  program: string
  /** Arguments after the program's name. */
  args?: readonly string[]
  /** The whole environment of PID 1. Default: `PATH`, `HOME`, `TERM`. */
  env?: Readonly<Record<string, string>>
  /** Folders of the host's. */
  shares?: readonly Share[]
  /** Shows the host's root, to be read only, at `/host` (`HOST_ROOT`). Default false. */
  hostRoot?: boolean
  /** Disks, in their order. */
  disks?: readonly UmlDisk[]
  /** The guest's memory, in MiB. Default 512. */
  memoryMiB?: number
  /**
   * Whether RAID 6 works (of md, dm-raid and btrfs); else the kernel crashes when it is used. To choose how it computes,
   * the kernel measures for nine tenths of a second at each boot. Default false.
   */
  raid6?: boolean
  /** Words of the kernel's command line, after ours. */
  append?: string
  /**
   * Called in each life of the guest with a stream to its serial line `/dev/ttyS0`, which the agent sets raw. Without
   * it there is no serial line.
   */
  onControl?: (control: Duplex) => void
  /** What follows when the guest reboots. Default `'end'`. */
  onReboot?: OnReboot
  /** Which troubles of its kernel, besides a panic, end the guest. */
  failOn?: FailOn
  /** Path or name of the kernel. Default `linux.uml`. */
  uml?: string
  /** Folder of the kernel's modules, `…/<release>`. Default: that of Debian's package. */
  modules?: string
}
