/** Where a guest's modprobe lies: what the kernel has in /proc/sys/kernel/modprobe unless it was built otherwise. */
export const MODPROBE_PATH = '/sbin/modprobe'
