/** The arguments of QEMU for a machine: a pure function, so that a test can read them. */
import type { Accelerator } from '../kvm.ts'
import type { ResolvedOptions } from './options.ts'

/** The file descriptor of QEMU's that carries the guest's console: a socket to us. */
export const CONSOLE_FD = 3

/** The CPU model for an accelerator: under TCG the fastest that runs Bun (`max` costs 0.6 s of a boot). */
export function cpuModel(accelerator: Accelerator): string {
  return accelerator === 'kvm' ? 'host' : 'Nehalem'
}

/** The `-accel` value. TCG must be asked for, else QEMU may try something else first. */
export function acceleratorArgument(accelerator: Accelerator): string {
  return accelerator === 'kvm' ? 'kvm' : 'tcg,thread=multi'
}

/**
 * Everything that follows the program's name.
 *
 * The machine protocol is on stdin and stdout and the console on an inherited socket: no socket file, no
 * port, nothing that two guests could fight for or that a crash could leave behind. The CPUs stand still
 * (`-S`) until we have seen that all is well and say `cont`.
 */
export function qemuArguments(options: ResolvedOptions, accelerator: Accelerator): string[] {
  const append = ['console=ttyS0', 'panic=-1', options.append].filter((word) => word !== '').join(' ')
  const rows: (readonly string[])[] = [
    ['-no-user-config', '-nodefaults', '-display', 'none', '-no-reboot', '-S'],
    ['-machine', 'q35', '-accel', acceleratorArgument(accelerator), '-cpu', cpuModel(accelerator)],
    ['-smp', String(options.cpus), '-m', `${options.memoryMiB}M`],
    ['-chardev', 'stdio,id=qmp,signal=off', '-mon', 'chardev=qmp,mode=control'],
    ['-chardev', `socket,id=console,fd=${CONSOLE_FD}`, '-serial', 'chardev:console'],
    ['-device', 'virtio-rng-pci', '-device', 'pvpanic'],
    networkArguments(options),
    ['-kernel', options.kernel],
    options.initrd === undefined ? [] : ['-initrd', options.initrd],
    ['-append', append],
    options.qemuArguments,
  ]
  return rows.flat()
}

/** QEMU binds port 0 to a free port by itself: choosing one beforehand would be a race. */
function networkArguments({ network, forwards }: ResolvedOptions): string[] {
  if (network === 'none') return ['-nic', 'none']
  const rules = forwards.map(({ hostPort, guestPort }) => `,hostfwd=tcp:127.0.0.1:${hostPort}-:${guestPort}`)
  // Without its option ROM the firmware does not offer to boot from the network.
  return ['-netdev', `user,id=net0${rules.join('')}`, '-device', 'virtio-net-pci,netdev=net0,romfile=']
}
