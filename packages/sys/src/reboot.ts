// Ending the machine, and the kernel that comes next.
import { LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2 } from './generated/constants/system.ts'
import { check } from './errno.ts'
import { type AsFd, fdNumber } from './fd.ts'
import { bind } from './raw.ts'
import { cString, u32 } from './raw/arguments.ts'

const raw = {
  reboot: bind('reboot', 'int', 'int', 'int', 'ptr'),
  kexecFileLoad: bind('kexec_file_load', 'int', 'int', 'int', 'ptr', 'int'),
}

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
  check(raw.reboot(LINUX_REBOOT_MAGIC1 | 0, LINUX_REBOOT_MAGIC2, u32(cmd, 'cmd'), null), 'reboot')
}

/**
 * `kexec_file_load(kernel_fd, initrd_fd, cmdline_len, cmdline, flags)` — loads the kernel that `reboot` with
 * LINUX_REBOOT_CMD_KEXEC starts, without the firmware.
 *
 * Blocks: while both are read. Needs: CAP_SYS_BOOT.
 *
 * @param initrd - null: KEXEC_FILE_NO_INITRAMFS is set
 * @param flags - KEXEC_FILE_UNLOAD, KEXEC_FILE_ON_CRASH
 * @throws {@link SysError} `EPERM`; `ENOEXEC` not a kernel; `EKEYREJECTED` its signature; `EBUSY`; `ENOSYS`
 * @see https://man7.org/linux/man-pages/man2/kexec_load.2.html
 */
export function kexec_file_load(kernel: AsFd, initrd: AsFd | null, commandLine: string, flags = 0): void {
  const KEXEC_FILE_NO_INITRAMFS = 4
  const options = u32(flags, 'flags') | (initrd === null ? KEXEC_FILE_NO_INITRAMFS : 0)
  const text = cString(commandLine, 'commandLine')
  const initrdFd = initrd === null ? -1 : fdNumber(initrd)
  check(raw.kexecFileLoad(fdNumber(kernel), initrdFd, text.length, text, options), 'kexec_file_load')
}
