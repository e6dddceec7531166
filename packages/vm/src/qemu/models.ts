/** The machines that QEMU builds for us, and how they differ. */
import type { Accelerator } from '../kvm.ts'
import type { Architecture } from '../machine.ts'

/** Machines by QEMU's name: `q35` and `microvm` are x86-64, `virt` is aarch64. */
export type MachineName = 'q35' | 'microvm' | 'virt'

/** What is particular to one machine. */
export interface MachineModel {
  architecture: Architecture
  /** QEMU's program for it. */
  program: string
  /** Value of `-machine`. */
  machine: string
  /** Ends the name of each virtio device: on PCI, or on the machine's own memory-mapped slots. */
  virtio: 'pci' | 'device'
  /** The guest's name for the first serial port. */
  serial: 'ttyS0' | 'ttyAMA0'
  /** The device by which a kernel reports its panic, where the machine can have one. */
  panicDevice: string | undefined
  /** The most CPUs that it takes. */
  maxCpus: number
  /** Whether `inject-nmi` reaches its CPUs. */
  nmi: boolean
}

/** Each machine's particulars. */
export const MODELS: Readonly<Record<MachineName, MachineModel>> = {
  q35: {
    architecture: 'x86_64',
    program: 'qemu-system-x86_64',
    machine: 'q35',
    virtio: 'pci',
    serial: 'ttyS0',
    panicDevice: 'pvpanic',
    // The most without an interrupt remapper (QEMU hw/i386/pc_q35.c has max_cpus 288).
    maxCpus: 255,
    nmi: true,
  },
  microvm: {
    architecture: 'x86_64',
    program: 'qemu-system-x86_64',
    // ACPI finds the devices for the kernel, and switches the machine off.
    machine: 'microvm,acpi=on',
    virtio: 'device',
    serial: 'ttyS0',
    panicDevice: undefined,
    maxCpus: 255,
    nmi: true,
  },
  virt: {
    architecture: 'aarch64',
    program: 'qemu-system-aarch64',
    machine: 'virt,gic-version=3',
    virtio: 'pci',
    serial: 'ttyAMA0',
    panicDevice: 'pvpanic-pci',
    maxCpus: 512,
    nmi: false,
  },
}

/**
 * The CPU model for an accelerator: under TCG the fastest that runs Bun. `max` costs 0.6 s of an x86-64 boot, and
 * doubles an arm64 one (4.5 s with cortex-a57, cortex-a72 and neoverse-n1 alike, 9 s with `max,pauth-impdef=on`).
 * With RDRAND the kernel has its randomness at once; without, Bun's first draw waits a second and more for it. Called one
 * of AMD's, which Meltdown does not concern, it needs no page tables of the kernel's own; at each change to those QEMU
 * would forget the addresses that it knows, and an appliance's boot take a twelfth longer.
 */
export function cpuModel(accelerator: Accelerator, architecture: Architecture = 'x86_64'): string {
  if (accelerator === 'kvm') return 'host'
  return architecture === 'x86_64' ? 'Nehalem,+rdrand,vendor=AuthenticAMD' : 'cortex-a57'
}

/** The `-accel` value. TCG must be asked for, else QEMU may try something else first. */
export function acceleratorArgument(accelerator: Accelerator): string {
  return accelerator === 'kvm' ? 'kvm' : 'tcg,thread=multi'
}

/** The machine for an architecture when none is named. */
export function defaultMachine(architecture: Architecture): MachineName {
  return architecture === 'x86_64' ? 'q35' : 'virt'
}
