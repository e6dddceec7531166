// What lies behind an error that says little: the capability that a call needs, and the kernel that has it first. Pure:
// the raw layer gives the process's side of it with the first call that it makes. The tables are functions: whoever meets
// no error does not pay for them.

/** What is known of the process and its kernel. */
export interface Probe {
  /** The calling thread's effective capabilities, as a set of 64 bits. */
  effective: () => bigint
  /** `6.1.0-37-amd64` */
  release: () => string
}

let probe: Probe | undefined

/** Lets hints ask the kernel. */
export function setProbe(newProbe: Probe): void {
  probe = newProbe
}

/**
 * What a call that answers EPERM lacks in nearly every case, by the calls' names. Where one has many meanings, those that
 * need a capability have names of their own: `prctl_capbset_drop`.
 */
const capabilities = (): Readonly<Record<string, string>> => ({
  CAP_SYS_ADMIN: `mount umount2 pivot_root fsopen fspick fsmount move_mount mount_setattr open_tree_attr unshare setns
    swapon swapoff quotactl quotactl_fd sethostname setdomainname fanotify_init xattr_trusted`,
  CAP_KILL: 'kill tkill tgkill pidfd_send_signal',
  CAP_NET_RAW: 'socket_raw',
  CAP_SETFCAP: 'xattr_capability',
  CAP_SETPCAP: 'prctl_capbset_drop prctl_set_securebits',
  CAP_SYS_BOOT: 'reboot kexec_file_load',
  CAP_SYS_CHROOT: 'chroot',
  CAP_SYS_MODULE: 'init_module finit_module delete_module',
  CAP_SYS_NICE: 'process_madvise sched_setscheduler sched_setattr sched_setparam',
  CAP_SYS_PACCT: 'acct',
  CAP_SYS_RESOURCE: 'prlimit64 prctl_set_io_flusher',
  CAP_SYS_TIME: 'clock_settime clock_adjtime settimeofday adjtimex',
  CAP_SYSLOG: 'syslog',
  CAP_SETGID: 'setgroups setresgid setregid setgid',
  CAP_SETUID: 'setresuid setreuid setuid',
  CAP_MKNOD: 'mknodat',
  CAP_CHOWN: 'fchown fchownat',
  CAP_DAC_READ_SEARCH: 'open_by_handle_at',
  CAP_PERFMON: 'perf_event_open',
  CAP_BPF: 'bpf',
})

/** Those that CAP_SYS_ADMIN stands for too: they were split off from it. */
const splitFromAdmin = new Set(['CAP_BPF', 'CAP_PERFMON', 'CAP_SYSLOG'])

/**
 * The numbers of those: written here once more, for one file less is loaded with every area. A test compares them with
 * the constants.
 */
export const capabilityNumbers = (): Readonly<Record<string, number>> => ({
  CAP_SYS_ADMIN: 21,
  CAP_KILL: 5,
  CAP_NET_RAW: 13,
  CAP_SETFCAP: 31,
  CAP_SETPCAP: 8,
  CAP_SYS_RESOURCE: 24,
  CAP_SYS_BOOT: 22,
  CAP_SYS_CHROOT: 18,
  CAP_SYS_MODULE: 16,
  CAP_SYS_NICE: 23,
  CAP_SYS_PACCT: 20,
  CAP_SYS_TIME: 25,
  CAP_SYSLOG: 34,
  CAP_SETGID: 6,
  CAP_SETUID: 7,
  CAP_MKNOD: 27,
  CAP_CHOWN: 0,
  CAP_DAC_READ_SEARCH: 2,
  CAP_PERFMON: 38,
  CAP_BPF: 39,
})

/** The first kernel that has a call, by the kernels. Those of Linux 4 and before are everywhere. */
const kernels = (): Readonly<Record<string, string>> => ({
  '5.1': 'pidfd_send_signal io_uring_setup io_uring_enter io_uring_register',
  '5.2': 'fsopen fspick fsconfig fsmount open_tree move_mount',
  '5.3': 'pidfd_open clone3',
  '5.6': 'openat2 pidfd_getfd',
  '5.8': 'faccessat2',
  '5.10': 'process_madvise',
  // close_range itself is of 5.9, the flag that its wrapper always gives of 5.11.
  '5.11': 'epoll_pwait2 close_range',
  '5.12': 'mount_setattr',
  '5.13': 'landlock_create_ruleset landlock_add_rule landlock_restrict_self',
  '5.14': 'quotactl_fd memfd_secret',
  '5.15': 'process_mrelease',
  '5.16': 'futex_waitv',
  '5.17': 'set_mempolicy_home_node',
  '6.5': 'cachestat',
  '6.6': 'fchmodat2',
  '6.7': 'futex_wait futex_wake futex_requeue',
  '6.8': 'statmount listmount lsm_list_modules',
  '6.10': 'mseal',
  '6.13': 'setxattrat getxattrat listxattrat removexattrat',
  '6.15': 'open_tree_attr',
  '6.17': 'file_getattr file_setattr',
})

function find(table: Readonly<Record<string, string>>, syscall: string): string | undefined {
  return Object.entries(table).find(([, names]) => names.split(/\s+/).includes(syscall))?.[0]
}

/** The capability without which `syscall` answers EPERM. */
export function neededCapability(syscall: string): string | undefined {
  return find(capabilities(), syscall)
}

/** The first kernel that has `syscall`. */
export function firstKernel(syscall: string): string | undefined {
  return find(kernels(), syscall)
}

/** Words for an EPERM or ENOSYS of `syscall`; undefined where there is nothing to add. */
export function hintFor(code: string, syscall: string): string | undefined {
  if (probe === undefined) return undefined
  if (code === 'EPERM') return permissionHint(syscall, probe)
  return code === 'ENOSYS' ? missingHint(syscall, probe) : undefined
}

function permissionHint(syscall: string, { effective }: Probe): string | undefined {
  const name = neededCapability(syscall)
  if (name === undefined) return undefined
  const names = splitFromAdmin.has(name) ? [name, 'CAP_SYS_ADMIN'] : [name]
  const [effectiveSet, numbers] = [effective(), capabilityNumbers()]
  const has = names.some((one) => (effectiveSet & (1n << BigInt(numbers[one] ?? 0))) !== 0n)
  return has ? undefined : `this thread lacks ${name}`
}

function missingHint(syscall: string, { release }: Probe): string | undefined {
  const first = firstKernel(syscall)
  if (first === undefined) return undefined
  const running = release()
  return isOlder(running, first)
    ? `since Linux ${first}; this is ${running}`
    : `Linux ${running} has it: a seccomp filter or the kernel's configuration refuses it`
}

/** Whether the kernel `release` is older than `first`. */
function isOlder(release: string, first: string): boolean {
  const [major = 0, minor = 0] = release.split(/[.-]/).map(Number)
  const [firstMajor = 0, firstMinor = 0] = first.split('.').map(Number)
  return major < firstMajor || (major === firstMajor && minor < firstMinor)
}
