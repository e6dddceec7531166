/** The end of the machine. */
import {
  LINUX_REBOOT_CMD_HALT,
  LINUX_REBOOT_CMD_POWER_OFF,
  LINUX_REBOOT_CMD_RESTART,
  MS_RDONLY,
  SIGKILL,
  SIGTERM,
} from '@pkg/sys/constants'
import { isSysError } from '@pkg/sys/errno'
import { sync } from '@pkg/sys/io'
import { mount_remount, umount2 } from '@pkg/sys/mount'
import { kill } from '@pkg/sys/process'
import { reboot } from '@pkg/sys/reboot'
import type { ShutdownKind } from '../agent/protocol.ts'
import { guestInfo } from './info.ts'

/** What is tried, in order: a machine that cannot power off halts. */
const commands: Readonly<Record<ShutdownKind, readonly number[]>> = {
  poweroff: [LINUX_REBOOT_CMD_POWER_OFF, LINUX_REBOOT_CMD_HALT],
  reboot: [LINUX_REBOOT_CMD_RESTART],
  halt: [LINUX_REBOOT_CMD_HALT],
}

/** How long programs have between SIGTERM and SIGKILL, in milliseconds: tests do not wait for daemons. */
const GRACE_MS = 50

/** Ends every other process, and unmounts disks, so that their file systems are clean. Only for PID 1. */
export async function quiesce(): Promise<void> {
  for (const signal of [SIGTERM, SIGKILL]) {
    try {
      kill(-1, signal)
    } catch (error) {
      // ESRCH: there is nobody.
      if (isSysError(error)) break
      throw error
    }
    await new Promise((resolve) => setTimeout(resolve, GRACE_MS))
  }
  sync()
  const disks = guestInfo().mounts.filter(
    ({ source, target }) => source.startsWith('/dev/') && target !== '/',
  )
  for (const { target } of disks.toReversed()) unmountOrFreeze(target)
  sync()
}

function unmountOrFreeze(target: string): void {
  for (const attempt of [() => umount2(target), () => mount_remount(target, MS_RDONLY)]) {
    try {
      return attempt()
    } catch (error) {
      if (!isSysError(error)) throw error
    }
  }
}

/** reboot(2). @throws SysError the kernel refuses */
export function endMachine(kind: ShutdownKind): void {
  let refusal: unknown
  for (const command of commands[kind]) {
    try {
      reboot(command)
    } catch (error) {
      refusal = error
    }
  }
  if (refusal !== undefined) throw refusal
}
