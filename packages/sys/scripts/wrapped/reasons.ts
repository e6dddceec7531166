/** Why a system call has no wrapper. A call that gets one leaves this list: a test compares. */

const groups: Readonly<Record<string, string>> = {
  'Superseded: a newer call does the same and more, and this one exists on x86-64 only. The wrapper is of the newer one (`openat`, `statx`, `renameat2`, `ppoll`, `epoll_pwait`, `pipe2`, `dup3`, `utimensat` …).': `
    access chmod chown creat dup2 epoll_create epoll_wait eventfd futimesat getdents getpgrp inotify_init lchown link
    lstat mkdir mknod open pause pipe poll readlink rename rmdir select signalfd stat symlink time unlink utime utimes
    alarm fork vfork`,
  'Superseded on both architectures by the call that has a wrapper: `renameat2`, `clone3`, `ppoll`, `accept4`.':
    'renameat clone pselect6 accept',
  'Not implemented: the kernel answers ENOSYS to this number, or has lost the call.': `
    _sysctl afs_syscall create_module epoll_ctl_old epoll_wait_old get_kernel_syms getpmsg lookup_dcookie nfsservctl
    putpmsg query_module security tuxcall uselib vserver`,
  'Kept by the kernel for programs of the nineties: /proc/filesystems, `statfs` and `mmap` are what it has now.':
    'sysfs ustat remap_file_pages',
  'Would end the thread or the process under the engine. `spawn`, `process.exit` and a `Program` are for that.':
    'exit exit_group rt_sigreturn restart_syscall',
  'Belongs to the C library or the engine, whose bookkeeping a call behind their backs would break.': `
    arch_prctl brk get_robust_list get_thread_area modify_ldt rseq rseq_slice_yield set_robust_list set_thread_area
    set_tid_address sigaltstack map_shadow_stack`,
  'Gets a signal only while every thread blocks it, for otherwise one of them takes it first; the threads of the engine do not, and no other thread can have them do so. `watchSignals` gives all signals, with siginfo.':
    'signalfd4',
  'Needs protection keys of the processor, which no machine that the tests run on has: the effect cannot be shown yet.':
    'pkey_alloc pkey_free pkey_mprotect',
  'Newer than every kernel that the tests can run (6.19 and later): the effect cannot be shown yet.':
    'listns',
  'Made by the kernel’s own trampolines, never by a program.': 'uprobe uretprobe',
  'Superseded by io_uring (`@pkg/sys/io-uring`), which does the same and more, for every kind of file.':
    'io_setup io_submit io_getevents io_pgetevents io_cancel io_destroy',
  'Superseded by `kexec_file_load`, which reads the kernel itself and checks its signature.': 'kexec_load',
  'A tracer must be one thread that waits for its tracees; `process_vm_readv`, `pidfd_getfd` and seccomp’s listener do what appliances need.':
    'ptrace',
  'Which attributes there are is the security module’s affair; /proc/self/attr has them on every kernel.':
    'lsm_get_self_attr lsm_set_self_attr',
  'Sleeps until a handler has run, which in this engine may be on another thread: `watchSignals` or `rt_sigtimedwait`.':
    'rt_sigsuspend',
  'Hangs up the caller’s own terminal, whichever that is: `ioctl` TIOCVHANGUP does it to a given one.':
    'vhangup',
  'Gives user space the I/O ports: the instructions that use them cannot be written in TypeScript.':
    'ioperm iopl',
}

/** The reason by the call's name. */
export const reasons: ReadonlyMap<string, string> = new Map(
  Object.entries(groups).flatMap(([reason, names]) =>
    names
      .trim()
      .split(/\s+/)
      .map((name) => [name, reason] as const),
  ),
)
