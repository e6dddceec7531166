/** The structs whose layouts are taken. */

/**
 * Structs taken whole, with all members, from the kernel's headers, by the generated file that they go to: an area loads
 * its own alone. Unions are written `union x`, typedefs by name.
 */
export const kernelStructAreas: Readonly<Record<string, readonly string[]>> = {
  file: [
    'stat',
    'statfs',
    'statx',
    'statx_timestamp',
    'open_how',
    'flock',
    'f_owner_ex',
    'linux_dirent64',
    'file_attr',
    'xattr_args',
    'file_handle',
  ],
  filesystem: [
    'fiemap',
    'fiemap_extent',
    'fstrim_range',
    'file_clone_range',
    'fsxattr',
    'file_dedupe_range',
    'fsverity_enable_arg',
    'fsverity_digest',
    'iocb',
    'io_event',
  ],
  notify: [
    'inotify_event',
    'fanotify_event_metadata',
    'fanotify_event_info_header',
    'fanotify_event_info_fid',
    'fanotify_event_info_pidfd',
    'fanotify_response',
  ],
  quota: ['if_dqblk', 'if_nextdqblk', 'if_dqinfo'],
  mount: ['mount_attr', 'mnt_id_req', 'statmount', 'mnt_ns_info', 'ns_id_req'],
  process: [
    'pidfd_info',
    'clone_args',
    'sched_attr',
    'rlimit',
    'rlimit64',
    'rusage',
    '__user_cap_header_struct',
    '__user_cap_data_struct',
    'ptrace_syscall_info',
    'prctl_mm_map',
    'robust_list_head',
    'kcmp_epoll_slot',
  ],
  signal: ['sigaction', 'sigaltstack', 'signalfd_siginfo'],
  memory: [
    'cachestat',
    'cachestat_range',
    'futex_waitv',
    'mq_attr',
    'sembuf',
    'uffdio_api',
    'uffdio_register',
    'uffd_msg',
    'uffdio_copy',
    'uffdio_zeropage',
    'uffdio_range',
    'uffdio_writeprotect',
  ],
  event: ['epoll_event', 'pollfd', 'iovec'],
  time: [
    '__kernel_timespec',
    '__kernel_itimerspec',
    '__kernel_old_timeval',
    '__kernel_timex',
    'timespec',
    'timeval',
    'itimerspec',
    'itimerval',
    'timezone',
    'tms',
  ],
  uring: [
    'io_uring_sqe',
    'io_uring_cqe',
    'io_sqring_offsets',
    'io_cqring_offsets',
    'io_uring_params',
    'io_uring_files_update',
    'io_uring_rsrc_register',
    'io_uring_rsrc_update',
    'io_uring_rsrc_update2',
    'io_uring_probe',
    'io_uring_probe_op',
    'io_uring_restriction',
    'io_uring_buf',
    'io_uring_buf_ring',
    'io_uring_buf_reg',
    'io_uring_getevents_arg',
    'io_uring_sync_cancel_reg',
    'io_uring_recvmsg_out',
  ],
  perf: ['perf_event_attr', 'perf_event_header'],
  system: ['new_utsname', 'sysinfo', 'kexec_segment', 'rand_pool_info'],
  security: [
    'seccomp_data',
    'seccomp_notif',
    'seccomp_notif_resp',
    'seccomp_notif_sizes',
    'seccomp_notif_addfd',
    'sock_filter',
    'sock_fprog',
    'landlock_ruleset_attr',
    'landlock_path_beneath_attr',
    'landlock_net_port_attr',
    'keyctl_dh_params',
    'keyctl_pkey_query',
    'keyctl_pkey_params',
    'audit_status',
  ],
  bpf: ['bpf_insn', 'union bpf_attr', 'bpf_prog_info', 'bpf_map_info'],
  terminal: ['termios', 'termios2', 'termio', 'winsize', 'vt_stat', 'vt_mode', 'vt_sizes'],
  input: ['input_event', 'input_id', 'input_absinfo', 'input_keymap_entry'],
  device: [
    'loop_info64',
    'loop_config',
    'dm_ioctl',
    'dm_target_spec',
    'dm_target_deps',
    'dm_name_list',
    'dm_target_versions',
    'dm_target_msg',
    'nbd_request',
    'nbd_reply',
    'blkpg_ioctl_arg',
    'blkpg_partition',
    'hd_geometry',
    'watchdog_info',
    'rtc_time',
    'rtc_wkalrm',
    'rfkill_event',
  ],
  socket: [
    '__kernel_sockaddr_storage',
    'sockaddr_un',
    'sockaddr_in',
    'sockaddr_in6',
    'sockaddr_nl',
    'sockaddr_ll',
    'sockaddr_vm',
    'sockaddr_alg',
    'sockaddr_can',
    'in_addr',
    'in6_addr',
  ],
  internet: [
    'ip_mreq',
    'ip_mreqn',
    'ip_mreq_source',
    'in_pktinfo',
    'ipv6_mreq',
    'in6_pktinfo',
    'in6_flowlabel_req',
    'in6_ifreq',
    'packet_mreq',
    'tpacket_req',
    'tpacket_req3',
    'tpacket_auxdata',
    'tpacket_stats',
    'sock_extended_err',
    'scm_timestamping',
    'so_timestamping',
    'hwtstamp_config',
    'tcp_info',
    'ethhdr',
    'iphdr',
    'ipv6hdr',
    'udphdr',
    'tcphdr',
    'icmphdr',
    'icmp6hdr',
    'arphdr',
    'ifreq',
    'ifconf',
    'ifmap',
    'arpreq',
    'rtentry',
    'af_alg_iv',
    'can_frame',
    'can_filter',
  ],
  netlink: [
    'nlmsghdr',
    'nlmsgerr',
    'nlattr',
    'nl_pktinfo',
    'nl_mmap_req',
    'genlmsghdr',
    'rtattr',
    'rtgenmsg',
    'ifinfomsg',
    'ifaddrmsg',
    'rtmsg',
    'rtnexthop',
    'rta_cacheinfo',
    'ifa_cacheinfo',
    'ndmsg',
    'nda_cacheinfo',
    'ndtmsg',
    'ifla_cacheinfo',
    'ifla_vlan_flags',
    'rtnl_link_stats',
    'rtnl_link_stats64',
    'rtnl_link_ifmap',
    'fib_rule_hdr',
    'fib_rule_uid_range',
    'nhmsg',
    'nexthop_grp',
    'tcmsg',
    'tcamsg',
    'netconfmsg',
    'prefixmsg',
    'prefix_cacheinfo',
    'nduseroptmsg',
    'if_stats_msg',
    'br_mdb_entry',
    'br_port_msg',
    'bridge_vlan_info',
    'inet_diag_req_v2',
    'inet_diag_msg',
    'inet_diag_sockid',
    'unix_diag_req',
    'unix_diag_msg',
    'cn_msg',
    'cb_id',
  ],
}

/** All of them. */
export const kernelStructs: readonly string[] = Object.values(kernelStructAreas).flat()

/** Structs that only the C library's headers have; same layout on both architectures (both are LP64). */
export const libcStructAreas: Readonly<Record<string, readonly string[]>> = {
  socket: ['msghdr', 'mmsghdr', 'cmsghdr', 'ucred', 'linger'],
  process: ['sched_param'],
}

/** All of those. */
export const libcStructs: readonly string[] = Object.values(libcStructAreas).flat()

/** A scalar of the layout tables. `be16` to `be64` are big-endian: the kernel's `__be16` … types. */
export type FieldType =
  | 'u8'
  | 'u16'
  | 'u32'
  | 'u64'
  | 's8'
  | 's16'
  | 's32'
  | 's64'
  | 'be16'
  | 'be32'
  | 'be64'
  | 'ptr'

/** Structs whose useful names are macros over nested unions, or that are bit fields in C: listed by hand, measured by the compiler. */
export const namedLayouts: Readonly<
  Record<string, { type: string; area: string; fields: Readonly<Record<string, FieldType>> }>
> = {
  siginfo: {
    type: 'siginfo_t',
    area: 'signal',
    fields: {
      si_signo: 's32',
      si_errno: 's32',
      si_code: 's32',
      si_pid: 's32',
      si_uid: 'u32',
      si_status: 's32',
      si_utime: 's64',
      si_stime: 's64',
      si_int: 's32',
      si_ptr: 'ptr',
      si_tid: 's32',
      si_overrun: 's32',
      si_addr: 'ptr',
      si_addr_lsb: 's16',
      si_band: 's64',
      si_fd: 's32',
      si_call_addr: 'ptr',
      si_syscall: 's32',
      si_arch: 'u32',
    },
  },
}

/** The area of each layout, by its exported name. */
export const layoutAreaOf: ReadonlyMap<string, string> = new Map([
  ...[kernelStructAreas, libcStructAreas].flatMap((areas) =>
    Object.entries(areas).flatMap(([area, names]) =>
      names.map((name) => [name.replace(/^union /, ''), area] as const),
    ),
  ),
  ...Object.entries(namedLayouts).map(([name, { area }]) => [name, area] as const),
])

/** Definitions that the kernel keeps to itself although they are its interface. */
export const kernelPreamble = `
/* include/linux/dirent.h */
struct linux_dirent64 { __u64 d_ino; __s64 d_off; unsigned short d_reclen; unsigned char d_type; char d_name[]; };
/* include/linux/fs.h (exported by glibc's <fcntl.h> only) */
struct file_handle { __u32 handle_bytes; int handle_type; unsigned char f_handle[]; };
`
