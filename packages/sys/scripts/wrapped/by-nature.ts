/**
 * Exports that are not fuzzed with hostile arguments, for what they do by nature would end, stop or blind the process.
 * Their argument checks are tested by name; this list says why each is on it.
 */

const groups: Readonly<Record<string, string>> = {
  'Makes whatever call it is asked for, with addresses as given: the raw layer.':
    'raw.bind raw.syscall raw.addressOf io.ioctl',
  'Becomes another program.': 'exec.execve exec.execveat',
  'Sends a signal as asked, which ends a process that does not watch it.': `
    process.kill process.pidfd_send_signal thread.tgkill thread.tkill signal.rt_sigqueueinfo signal.rt_tgsigqueueinfo
    time.setitimer time.timer_create message-queue.mq_notify`,
  'Closes or replaces a descriptor by its number, whoever owns it.': 'io.close io.dup3 fd.OwnedFd',
  'Leaves the engine without memory, processor time or descriptors, as asked.':
    'limits.prlimit64 limits.setrlimit memory.mlockall',
  'Sleeps as long as asked, or until another process wakes it.': `
    time.nanosleep time.clock_nanosleep futex.futex_wait futex.futex_wait_relative futex.futex_waitv event.epoll_pwait
    event.epoll_pwait2 event.ppoll signal.rt_sigtimedwait io.fcntl_ofd_setlkw sysv-ipc.semop sysv-ipc.msgrcv sysv-ipc.msgsnd`,
  'Decides about every later call of the thread.': 'seccomp.seccomp_set_mode_filter prctl.prctl_set_mdwe',
  'Blocks signals that the engine stops its own threads with.': 'signal.rt_sigprocmask',
  'Is a class or runs for ever by design: its own tests misuse it.': 'reactor.Reactor reactor.reactor',
  'Builds programs for other processes: its own tests misuse it.':
    'program.Program program.vector boot-stub.bootStub',
}

/** The reason by `module.export`. */
export const endsByNature: ReadonlyMap<string, string> = new Map(
  Object.entries(groups).flatMap(([reason, names]) =>
    names
      .trim()
      .split(/\s+/)
      .map((name) => [name, reason] as const),
  ),
)
