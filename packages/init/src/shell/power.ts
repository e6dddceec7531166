/** The very end: reboot(2). */
import {
  LINUX_REBOOT_CMD_HALT,
  LINUX_REBOOT_CMD_KEXEC,
  LINUX_REBOOT_CMD_POWER_OFF,
  LINUX_REBOOT_CMD_RESTART,
} from '@pkg/sys/constants'
import { reboot } from '@pkg/sys/reboot'
import type { ShutdownKind } from '../core.ts'

/** What is tried, in order. kexec without a loaded kernel is a reboot; a machine that cannot power off halts. */
const commands: Readonly<Record<ShutdownKind, readonly number[]>> = {
  'power-off': [LINUX_REBOOT_CMD_POWER_OFF, LINUX_REBOOT_CMD_HALT],
  reboot: [LINUX_REBOOT_CMD_RESTART],
  halt: [LINUX_REBOOT_CMD_HALT],
  kexec: [LINUX_REBOOT_CMD_KEXEC, LINUX_REBOOT_CMD_RESTART],
}

/**
 * Ends the machine, or the pid namespace: its PID 1 is killed by SIGHUP (reboot, kexec) or SIGINT (the others).
 * Returns only when the kernel refuses, with its reasons.
 *
 * @see https://man7.org/linux/man-pages/man2/reboot.2.html
 */
export function endMachine(kind: ShutdownKind): string[] {
  const reasons: string[] = []
  for (const command of commands[kind]) {
    try {
      reboot(command)
    } catch (error) {
      reasons.push(error instanceof Error ? error.message : String(error))
    }
  }
  return reasons
}
