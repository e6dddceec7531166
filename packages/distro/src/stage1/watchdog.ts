// A watchdog that runs before anything can hang: armed by stage 1, kept alive by PID 1.
import { AT_FDCWD, O_CLOEXEC, O_WRONLY, WDIOC_SETTIMEOUT } from '@pkg/sys/constants'
import type { Memory, Program } from '@pkg/sys/program'

/**
 * The descriptor by which PID 1 has the watchdog. Stage 1 does not close it: the kernel would warn that the watchdog
 * did not stop, and a second open of a device that is open is EBUSY.
 */
export const watchdogFd = 10

/** The variable of PID 1's environment that names the descriptor, when a watchdog was armed. */
export const watchdogVariable = 'SOLO_WATCHDOG_FD'

/**
 * Arms `/dev/watchdog`, where there is one: opening it starts it.
 *
 * @param timeoutSeconds - after which it resets the machine, unless it hears something; a device that cannot do that
 * keeps its own time
 * @param slot - the word of the environment that becomes the address of the variable
 */
export function armWatchdog(program: Program, timeoutSeconds: number, slot: ReturnType<Memory['at']>): void {
  const absent = program.label('no watchdog')
  const device = program.call('openat', AT_FDCWD, '/dev/watchdog', O_WRONLY | O_CLOEXEC).otherwise(absent)
  const timeout = new Uint8Array(Int32Array.of(timeoutSeconds).buffer)
  program.call('ioctl', device, WDIOC_SETTIMEOUT, timeout).ignoreErrors()
  program.call('dup3', device, watchdogFd, 0).otherwise(absent)
  program.set(slot, `${watchdogVariable}=${watchdogFd}`)
  program.place(absent)
}
