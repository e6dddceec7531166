// Ending the machine.
import { LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2 } from './generated/constants/system.ts'
import { check } from './errno.ts'
import { bind } from './raw.ts'
import { u32 } from './raw/arguments.ts'

const raw = bind('reboot', 'int', 'int', 'int', 'ptr')

/**
 * `reboot(magic, magic2, cmd, arg)` — restarts, halts or powers off at once, or says what Ctrl-Alt-Del does.
 *
 * Nothing is flushed or unmounted first: call `sync` before. Needs: CAP_SYS_BOOT. In a pid namespace other than
 * the first it ends that namespace: its init is killed by SIGHUP (restart) or SIGINT (halt, power off).
 *
 * @param cmd - LINUX_REBOOT_CMD_RESTART, _HALT, _POWER_OFF, _KEXEC, _CAD_ON, _CAD_OFF
 * @throws {@link SysError} `EPERM`; `EINVAL` an unknown command, or _KEXEC without a loaded kernel
 * @see https://man7.org/linux/man-pages/man2/reboot.2.html
 */
export function reboot(cmd: number): void {
  check(raw(LINUX_REBOOT_MAGIC1 | 0, LINUX_REBOOT_MAGIC2, u32(cmd, 'cmd'), null), 'reboot')
}
