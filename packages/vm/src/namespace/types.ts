/** The options of `startNamespace`. */
import type { Duplex } from 'node:stream'
import type { MachineLimits } from '../machine.ts'
import type { OnReboot } from '../process-machine/process-machine.ts'

/** A folder or a file of the host's in the guest. */
export interface Share {
  /** Path on the host. */
  host: string
  /** Absolute path in the guest; made if it is missing. */
  guest: string
  /** Whether the guest may write to it. Default false. */
  writable?: boolean
}

/** Options of `startNamespace`. */
export interface NamespaceOptions extends MachineLimits {
  /**
   * The folder that becomes the root. It is only read: what the guest writes goes to memory and ends with it (where
   * the kernel refuses overlays in user namespaces, each of its entries is mounted, and new files are in memory).
   */
  folder: string
  /** Absolute path of PID 1 in the guest: the agent's runtime, or any init. */
  program: string
  /** Arguments after the program's name. */
  args?: readonly string[]
  /** The whole environment of PID 1. Default: `PATH`, `HOME`, `TERM`. */
  env?: Readonly<Record<string, string>>
  /** The host's name in the guest. Default `guest`. */
  hostname?: string
  /** Folders and files of the host's. */
  shares?: readonly Share[]
  /** Shows the host's root, to be read only, at `/host` (`HOST_ROOT`). Default false. */
  hostRoot?: boolean
  /**
   * Called in each life of the guest with a stream to PID 1's descriptor 3; the agent is told of it by
   * `--control=fd:3`. Without it PID 1 has no such descriptor.
   */
  onControl?: (control: Duplex) => void
  /** What follows when the guest calls reboot(2). Default `'end'`. */
  onReboot?: OnReboot
  /** What `powerdown` sends to PID 1. Default `SIGPWR`, at which inits power off. */
  powerdownSignal?: NodeJS.Signals
}
