/**
 * The headers whose public constants are taken, by area.
 *
 * A constant is public when its name begins with a capital letter. `only` narrows a header of which most
 * names are of no use to user space; `files` names further headers that the first one pulls its names from.
 */

/** One header of the kernel's UAPI (or of the C library) and what is taken from it. */
export interface HeaderSelection {
  readonly header: string
  /** Other headers, included by this one, whose names are taken too. */
  readonly files?: readonly string[]
  /** Names to take; all public ones by default. */
  readonly only?: RegExp
}

/** For headers that are included for their structs alone. */
const nothing = /^$/

/**
 * The kernel's headers by the area that their constants go to: one generated file each, because an import costs
 * about 3 µs for each export of the file (measured: 8,648 exports in 24 to 32 ms).
 * `asm/` stands for the architecture's header and for the `asm-generic/` header of the same name.
 */
export const kernelAreas: Readonly<Record<string, readonly HeaderSelection[]>> = {
  errno: [
    { header: 'asm/errno.h', files: ['asm/errno-base.h'] },
    { header: 'linux/limits.h' },
    { header: 'asm/param.h', only: /^HZ$/ },
    { header: 'linux/auxvec.h', files: ['asm/auxvec.h'] },
    { header: 'linux/posix_types.h', only: nothing },
  ],
  file: [
    { header: 'linux/falloc.h' },
    { header: 'linux/fadvise.h' },
    { header: 'linux/sync_file.h', only: nothing },
    { header: 'linux/xattr.h', only: /^XATTR_(CREATE|REPLACE)$/ },
    { header: 'linux/utime.h', only: nothing },
    { header: 'linux/aio_abi.h' },
  ],
  open: [
    { header: 'linux/fcntl.h', files: ['asm/fcntl.h'] },
    { header: 'linux/openat2.h' },
    { header: 'linux/close_range.h' },
  ],
  stat: [
    { header: 'linux/stat.h' },
    { header: 'asm/stat.h', only: nothing },
    { header: 'asm/statfs.h', only: nothing },
  ],
  filesystem: [
    { header: 'linux/fs.h' },
    { header: 'linux/ext4.h', only: /^EXT4_IOC_/ },
    { header: 'linux/fiemap.h' },
    { header: 'linux/fsverity.h' },
    { header: 'linux/fscrypt.h' },
    { header: 'linux/magic.h' },
    { header: 'linux/msdos_fs.h', only: /^(VFAT_IOCTL|FAT_IOCTL)/ },
  ],
  notify: [{ header: 'linux/inotify.h' }, { header: 'linux/fanotify.h' }],
  quota: [
    { header: 'linux/quota.h' },
    { header: 'linux/dqblk_xfs.h', only: /^(Q_X|XQM_|FS_QUOTA_|FS_.QUOTA)/ },
  ],
  mount: [{ header: 'linux/mount.h' }, { header: 'linux/nsfs.h' }],
  process: [
    { header: 'linux/sched.h' },
    { header: 'linux/sched/types.h' },
    { header: 'linux/wait.h' },
    { header: 'linux/pidfd.h' },
    { header: 'linux/personality.h' },
    { header: 'linux/resource.h', files: ['asm/resource.h'] },
    { header: 'linux/ioprio.h' },
    { header: 'linux/kcmp.h' },
    { header: 'linux/ptrace.h' },
    { header: 'linux/oom.h' },
    { header: 'linux/membarrier.h' },
    { header: 'linux/rseq.h' },
    { header: 'linux/acct.h', only: /^A(FORK|SU|CORE|XSIG)$/ },
    { header: 'linux/taskstats.h', only: /^TASKSTATS_/ },
    { header: 'linux/connector.h', only: /^CN_/ },
    { header: 'linux/cn_proc.h', only: /^PROC_/ },
  ],
  capability: [{ header: 'linux/capability.h' }],
  prctl: [
    { header: 'linux/prctl.h' },
    { header: 'asm/prctl.h', only: /^ARCH_/ },
    { header: 'linux/securebits.h' },
  ],
  signal: [
    {
      header: 'linux/signal.h',
      files: ['asm/signal.h', 'asm/signal-defs.h', 'asm/siginfo.h'],
      only: /^(?!SIGRTMIN$|SIGRTMAX$|SIG_DFL$|SIG_IGN$)/,
    },
    { header: 'linux/signalfd.h' },
  ],
  memory: [
    { header: 'linux/mman.h', files: ['asm/mman.h', 'asm/mman-common.h', 'asm/hugetlb_encode.h'] },
    { header: 'linux/memfd.h' },
    { header: 'linux/mempolicy.h' },
  ],
  futex: [{ header: 'linux/futex.h' }],
  userfault: [{ header: 'linux/userfaultfd.h' }],
  ipc: [
    { header: 'linux/shm.h', only: /^SHM_|^SHM(MNI|MAX|MIN)$/ },
    { header: 'linux/ipc.h', only: /^IPC_/ },
    { header: 'linux/sem.h', only: /^(SEM_|GET|SET)/ },
    { header: 'linux/msg.h', only: /^MSG_(NOERROR|EXCEPT|COPY|STAT|INFO|STAT_ANY)$/ },
    { header: 'linux/mqueue.h' },
  ],
  event: [
    { header: 'linux/eventpoll.h' },
    { header: 'asm/poll.h' },
    { header: 'linux/timerfd.h' },
    { header: 'linux/time.h' },
    { header: 'linux/time_types.h', only: nothing },
    { header: 'linux/timex.h' },
    { header: 'linux/times.h', only: nothing },
    { header: 'linux/uio.h' },
    { header: 'linux/watch_queue.h' },
  ],
  system: [
    { header: 'linux/reboot.h' },
    { header: 'linux/utsname.h', only: nothing },
    { header: 'linux/sysinfo.h', only: nothing },
    { header: 'linux/kexec.h' },
    { header: 'linux/module.h' },
    { header: 'linux/random.h' },
    { header: 'linux/suspend_ioctls.h' },
  ],
  security: [
    { header: 'linux/seccomp.h' },
    { header: 'linux/landlock.h' },
    { header: 'linux/keyctl.h' },
    { header: 'linux/elf-em.h', only: /^EM_/ },
    { header: 'linux/filter.h' },
  ],
  terminal: [
    {
      header: 'linux/termios.h',
      files: ['asm/termios.h', 'asm/termbits.h', 'asm/termbits-common.h', 'asm/ioctls.h'],
    },
    { header: 'linux/tty.h' },
    { header: 'linux/vt.h' },
    { header: 'linux/kd.h' },
  ],
  device: [
    { header: 'linux/loop.h' },
    { header: 'linux/dm-ioctl.h' },
    { header: 'linux/nbd.h', only: /^NBD_/ },
    { header: 'linux/blkpg.h' },
    { header: 'linux/blktrace_api.h', only: /^BLKTRACE/ },
    { header: 'linux/serial.h', only: /^(TIOC|SER_)/ },
    { header: 'linux/hdreg.h', only: /^HDIO_GETGEO$/ },
    { header: 'linux/watchdog.h', only: /^(WDI|WDO)/ },
    { header: 'linux/rtc.h', only: /^RTC_/ },
    { header: 'linux/pps.h', only: /^PPS_/ },
    { header: 'linux/ptp_clock.h', only: /^PTP_/ },
    { header: 'linux/gpio.h', only: /^GPIO_V2_/ },
    { header: 'linux/rfkill.h' },
    { header: 'linux/vhost.h', only: /^VHOST_/ },
  ],
  socket: [
    { header: 'linux/socket.h', files: ['asm/socket.h', 'asm/sockios.h'] },
    { header: 'linux/sockios.h' },
    { header: 'linux/un.h' },
    { header: 'linux/net.h', only: /^(SYS_|SS_)/ },
    { header: 'linux/vm_sockets.h' },
    { header: 'linux/if_alg.h' },
  ],
  internet: [
    { header: 'linux/in.h', only: /^(?!IN_CLASS|IN_BADCLASS|IN_MULTICAST)/ },
    { header: 'linux/in6.h' },
    { header: 'linux/tcp.h', only: /^TCP(F|I|_)/ },
    { header: 'linux/udp.h' },
    { header: 'linux/ip.h' },
    { header: 'linux/ipv6.h', only: /^IPV6_/ },
    { header: 'linux/icmp.h', only: /^ICMP/ },
    { header: 'linux/icmpv6.h', only: /^ICMPV6_/ },
    { header: 'linux/errqueue.h' },
    { header: 'linux/net_tstamp.h' },
    { header: 'linux/tls.h' },
    { header: 'linux/can.h', only: /^CAN_/ },
  ],
  link: [
    { header: 'linux/if.h' },
    { header: 'linux/if_bridge.h' },
    { header: 'linux/if_vlan.h' },
    { header: 'linux/if_bonding.h', only: /^BOND_/ },
    { header: 'linux/route.h', only: /^RTF_/ },
    { header: 'linux/netlink.h' },
    { header: 'linux/rtnetlink.h' },
    { header: 'linux/if_link.h' },
    { header: 'linux/if_addr.h' },
    { header: 'linux/neighbour.h' },
    { header: 'linux/veth.h' },
    { header: 'linux/fib_rules.h' },
    { header: 'linux/nexthop.h' },
    { header: 'linux/net_namespace.h' },
    { header: 'linux/netconf.h' },
    { header: 'linux/genetlink.h' },
    { header: 'linux/ethtool.h', only: /^(ETHTOOL_G|ETHTOOL_S|WAKE_|DUPLEX_|SPEED_|ETH_SS_)/ },
    { header: 'linux/sock_diag.h' },
    { header: 'linux/inet_diag.h', only: /^INET_DIAG_/ },
    { header: 'linux/unix_diag.h', only: /^(UDIAG_|UNIX_DIAG_)/ },
    { header: 'linux/wireguard.h', only: /^(WG_|WG[A-Z]+_)/ },
    { header: 'linux/pkt_sched.h', only: /^TC_H_/ },
  ],
  tun: [{ header: 'linux/if_tun.h' }],
  bpf: [{ header: 'linux/bpf_common.h' }, { header: 'linux/bpf.h' }],
  input: [
    { header: 'linux/input.h' },
    { header: 'linux/input-event-codes.h' },
    { header: 'linux/uinput.h', only: /^(UI_|UINPUT_)/ },
  ],
  uring: [{ header: 'linux/io_uring.h' }],
  perf: [
    {
      header: 'linux/perf_event.h',
      only: /^PERF_(TYPE|COUNT|SAMPLE|FORMAT|EVENT_IOC|RECORD|FLAG|ATTR_SIZE)_/,
    },
  ],
  audit: [{ header: 'linux/audit.h', only: /^AUDIT_/ }],
  packet: [
    { header: 'linux/if_ether.h' },
    { header: 'linux/if_arp.h', only: /^(ARPHRD|ARPOP|ATF)_/ },
    { header: 'linux/if_packet.h' },
  ],
}

/**
 * Names that the UAPI headers lack, taken from the C library's headers of the build machine.
 * The files name no architecture, and the values are the same on x86-64 and arm64.
 */
export const libcAreas: Readonly<Record<string, readonly HeaderSelection[]>> = {
  socket: [
    {
      header: 'sys/socket.h',
      files: ['bits/socket.h', 'bits/socket_type.h', 'bits/socket-constants.h'],
      only: /^(AF|PF|SOCK|SOL|MSG|SCM|SHUT)_|^SOMAXCONN$/,
    },
  ],
  mount: [{ header: 'sys/mount.h', only: /^(MNT|UMOUNT)_/ }],
  event: [{ header: 'sys/eventfd.h', files: ['bits/eventfd.h'] }],
  open: [
    { header: 'unistd.h', only: /^([FRWX]_OK|SEEK_[A-Z]+|STD(IN|OUT|ERR)_FILENO)$/ },
    {
      header: 'fcntl.h',
      files: ['bits/fcntl-linux.h', 'bits/fcntl.h'],
      only: /^(SPLICE_F_|SYNC_FILE_RANGE_|S_IF|MAX_HANDLE_SZ)/,
    },
  ],
  file: [
    { header: 'sys/xattr.h', only: /^XATTR_/ },
    { header: 'sys/statvfs.h', files: ['bits/statvfs.h'], only: /^ST_/ },
    { header: 'sys/file.h', only: /^LOCK_/ },
    { header: 'dirent.h', only: /^DT_/ },
  ],
  system: [
    { header: 'sys/swap.h', only: /^SWAP_/ },
    { header: 'sys/random.h', only: /^GRND_/ },
  ],
  process: [
    { header: 'sys/wait.h', files: ['bits/waitflags.h'], only: /^(P_|W[A-Z]+$)/ },
    { header: 'sched.h', files: ['bits/sched.h'], only: /^(SCHED_)/ },
  ],
}

/** All headers, in the order of inclusion. */
export const kernelHeaders: readonly HeaderSelection[] = Object.values(kernelAreas).flat()

/** All headers of the C library. */
export const libcHeaders: readonly HeaderSelection[] = Object.values(libcAreas).flat()

/** The area of each header. */
export const areaOf: ReadonlyMap<string, string> = new Map(
  [kernelAreas, libcAreas].flatMap((areas) =>
    Object.entries(areas).flatMap(([area, headers]) => headers.map(({ header }) => [header, area] as const)),
  ),
)

/** Values that no header states as a constant. */
export const extraConstants: Readonly<Record<string, { expression: string; why: string }>> = {
  SIGRTMIN: {
    expression: '34',
    why: 'the kernel begins at 32, but the C libraries keep 32 and 33 for their threads (signal(7)), and `SIGRTMIN+n` of kill, systemd and every man page counts from 34',
  },
  SIGRTMAX: { expression: '64', why: '_NSIG of the kernel, which the headers of x86-64 do not export' },
  SIG_DFL: { expression: '0', why: 'a function pointer in C: asm-generic/signal-defs.h' },
  SIG_IGN: { expression: '1', why: 'a function pointer in C: asm-generic/signal-defs.h' },
}
