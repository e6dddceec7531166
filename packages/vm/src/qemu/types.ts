/** The shapes of {@link boot}'s options and of what it gives back. */
import type { GuestConsole } from '../console.ts'
import type { VmError } from '../errors.ts'
import type { Accelerator } from '../kvm.ts'
import type { QmpClient } from '../qmp.ts'

/** A TCP port of the host's loopback that leads into the guest. */
export interface Forward {
  /** Port of 127.0.0.1 on the host; 0 takes any free one, which {@link Vm.forwards} then names. */
  hostPort: number
  /** Port in the guest. */
  guestPort: number
}

/** Options of {@link boot}. */
export interface BootOptions {
  /** Path of the kernel (a bzImage). */
  kernel: string
  /** Path of the initramfs (a cpio archive, compressed as the kernel can read it). */
  initrd?: string
  /**
   * Words of the kernel's command line, after `console=ttyS0 panic=-1` (a panic then ends QEMU at once);
   * the kernel lets the last of two equal words win.
   */
  append?: string
  /** The guest's memory, in MiB. Default 512. */
  memoryMiB?: number
  /** Virtual CPUs. Default 2: some guests hang with one under QEMU 7.2's TCG. */
  cpus?: number
  /** The machine QEMU builds. Default `'q35'`, the only one so far. */
  machine?: 'q35'
  /**
   * What runs the guest's instructions. Default `'auto'`: KVM where a guest really boots under it, else
   * TCG, which needs nothing of the host.
   */
  accelerator?: Accelerator | 'auto'
  /**
   * `'user'` (default): one virtio network card behind QEMU's own NAT, which gives the guest 10.0.2.15
   * by DHCP; `'none'`: no card.
   */
  network?: 'user' | 'none'
  /** Ports of the host that lead into the guest. They need `network: 'user'`. */
  forwards?: readonly Forward[]
  /**
   * How long the guest may live in all, in milliseconds; then it is killed and every wait for it fails
   * with `GuestTimeoutError`. Default 120,000; `Infinity` for a machine that is meant to stay.
   */
  timeoutMs?: number
  /**
   * How long the console may be silent, in milliseconds, before the guest counts as hung and is killed.
   * Default `Infinity`: many a healthy guest has nothing to say.
   */
  silenceTimeoutMs?: number
  /** Called with each piece of console text as it comes. */
  onConsole?: (text: string) => void
  /** How many characters of the console are kept. Default 1,048,576. */
  consoleLimitChars?: number
  /** Path or name of the QEMU program. Default `qemu-system-x86_64`. */
  qemu?: string
  /** More arguments for QEMU, after ours: disks and devices that have no option here yet. */
  qemuArguments?: readonly string[]
  /** Kills the guest when it is aborted; while booting, `boot` then rejects with its reason. */
  signal?: AbortSignal
}

/**
 * How a guest ended: `poweroff` and `reboot` by its own wish; `panic` of its kernel; `timeout` of one of
 * our limits; `killed` from the host (by us or by anybody's signal); `crashed` when QEMU itself failed.
 */
export type ExitReason = 'poweroff' | 'reboot' | 'panic' | 'timeout' | 'killed' | 'crashed'

/** The end of a guest. */
export interface VmExit {
  /** How it ended. */
  reason: ExitReason
  /** QEMU's exit status; null when a signal ended it. */
  code: number | null
  /** The signal that ended QEMU, or null. */
  signal: string | null
  /** What QEMU wrote to its standard error; usually empty. */
  stderr: string
  /** The error that says it all, for every reason but `poweroff`. */
  error?: VmError
}

/** A running guest. Dispose of it with `await using`. */
export interface Vm extends AsyncDisposable {
  /** QEMU's process id. */
  readonly pid: number
  /** What runs the guest's instructions. */
  readonly accelerator: Accelerator
  /** The forwarded ports, in the order of the options, with the host ports that were really taken. */
  readonly forwards: readonly Forward[]
  /** The guest's first serial port. */
  readonly console: GuestConsole
  /** The machine protocol, for what has no method here. */
  readonly qmp: QmpClient
  /**
   * Resolves when the guest has ended and QEMU is gone; never rejects. Looking at it means that you
   * judge the end yourself: disposal then does not throw on a panic.
   */
  readonly exited: Promise<VmExit>
  /**
   * Resolves when the guest has powered itself off.
   *
   * @throws GuestPanicError, GuestTimeoutError, GuestEndedError, QemuCrashedError: it ended otherwise
   */
  waitForPoweroff(): Promise<VmExit>
  /** Presses the ACPI power button, and returns. Does nothing to a guest that has ended. */
  powerdown(): Promise<void>
  /** Ends QEMU by SIGKILL, as a power cut ends a machine. Resolves when it is gone. */
  kill(): Promise<VmExit>
  /**
   * Ends the guest if it still runs, and waits until nothing of it is left.
   *
   * @throws the error of a guest that panicked, ran out of time or crashed, unless you have met it
   * already: a panic that nobody looked at must not pass
   */
  [Symbol.asyncDispose](): Promise<void>
}
