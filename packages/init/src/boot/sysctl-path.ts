/** The name of a kernel setting → its file below /proc/sys. */

/**
 * `net.ipv4.ip_forward` → `net/ipv4/ip_forward`. As in sysctl.d(5): if the first separator is a slash, the name
 * is a path already; else dots and slashes change places, so that `net.ipv4.conf.eth0/100.rp_filter` means the
 * interface `eth0.100`.
 */
export function sysctlPath(name: string): string {
  const first = /[./]/.exec(name)?.[0]
  if (first !== '.') return name
  return name.replace(/[./]/g, (separator) => (separator === '.' ? '/' : '.'))
}
