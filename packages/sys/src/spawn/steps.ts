// The steps of a child between clone and exec, as a syscall program.
import { AT_FDCWD, F_DUPFD, F_GETFD, F_SETFD, O_RDWR, O_WRONLY } from '../generated/constants/open.ts'
import { PR_SET_NO_NEW_PRIVS, PR_SET_PDEATHSIG } from '../generated/constants/prctl.ts'
import { IOPRIO_WHO_PROCESS, PRIO_PROCESS } from '../generated/constants/process.ts'
import { SIGPIPE, SIGXFSZ, SIG_SETMASK } from '../generated/constants/signal.ts'
import { TIOCSCTTY } from '../generated/constants/terminal.ts'
import { type AsFd, fdNumber } from '../fd.ts'
import { ioPriorityNumber } from '../limits/io-priority.ts'
import { Program, type Step, vector } from '../program.ts'
import { u32 } from '../raw/arguments.ts'
import type { Rlimit, SpawnOptions } from '../spawn.ts'
import { addCloseOnExec } from './close-on-exec.ts'
import {
  addBoundingSet,
  addCapabilities,
  addIdMaps,
  addLandlock,
  addSeccomp,
  addSecurebits,
} from './confine.ts'
import { between } from './validate.ts'

/** The largest signal number on Linux (`_NSIG`). */
const SIGNAL_MAX = 64

/** What a number of the child will be: a descriptor of the parent's, /dev/null, or what the parent has there, if anything. */
export type ChildFd = number | 'null' | 'inherit'

/**
 * The program that turns a fresh child into what `options` ask for and executes `file`.
 *
 * The order matters: what needs privileges, the caller's own steps too, comes before they are given up, the working
 * directory and the cgroup are reached as the parent, no_new_privs and the parent-death signal come late (a change of
 * user clears it), the seccomp filter last.
 *
 * @param legacyClone - the child comes from clone(2), which cannot clear signal handlers or enter a cgroup
 * @param atBegin - adds steps that come before all others, with all signals blocked
 */
export function childProgram(
  file: string,
  options: SpawnOptions,
  fds: ReadonlyMap<number, ChildFd>,
  legacyClone: boolean,
  atBegin?: (program: Program) => void,
): Program {
  const program = new Program()
  atBegin?.(program)
  addSignals(program, legacyClone)
  addIdMaps(program, options)
  if (legacyClone && options.cgroup !== undefined) addCgroup(program, fdNumber(options.cgroup))
  addPriorities(program, options)
  addSession(program, options)
  // Before the descriptors are put in place: one of them may get the terminal's number.
  if (options.controllingTty !== undefined) {
    program.call('ioctl', fdNumber(options.controllingTty), TIOCSCTTY, 0)
  }
  if (options.landlock !== undefined || allocates(fds)) addChecks(program, fds)
  const ruleset = options.landlock === undefined ? undefined : moveAway(program, options.landlock, fds)
  addFds(program, fds)
  // After the descriptors are in place: a low RLIMIT_NOFILE would forbid the numbers in between.
  for (const limit of options.rlimits ?? []) {
    program.call('prlimit64', 0, u32(limit.resource, 'resource'), rlimit64(limit), null)
  }
  if (options.cwd !== undefined) program.call('chdir', options.cwd)
  if (options.umask !== undefined) program.call('umask', u32(options.umask, 'umask'))
  options.setup?.(program)
  addSecurebits(program, options)
  addBoundingSet(program, options)
  addCredentials(program, options)
  addCapabilities(program, options)
  addCloseOnExec(program, [...fds.keys()])
  if (ruleset !== undefined) addLandlock(program, ruleset)
  addSeccomp(program, options)
  const argv = vector([options.argv0 ?? file, ...(options.args ?? [])])
  const env = Object.entries(options.env).flatMap(([name, value]) =>
    value === undefined ? [] : [`${name}=${value}`],
  )
  program.call('execve', file, argv, vector(env))
  return program
}

/** What Bun ignores, and a child would go on ignoring: SIGPIPE and SIGXFSZ. */
const ignoredByBun = [SIGPIPE, SIGXFSZ]

/** The kernel's `struct sigaction` of SIG_DFL, and an empty signal set: constants, since every spawn needs them. */
const defaultAction = new Uint8Array(32)
const noSignals = new Uint8Array(8)

/** Handlers are gone with CLONE_CLEAR_SIGHAND; the child still has all signals blocked. */
function addSignals(program: Program, clearAllHandlers: boolean): void {
  const signals = clearAllHandlers
    ? Array.from({ length: SIGNAL_MAX }, (_, index) => index + 1)
    : ignoredByBun
  for (const signal of signals) {
    program.call('rt_sigaction', signal, defaultAction, null, 8).ignoreErrors()
  }
  program.call('rt_sigprocmask', SIG_SETMASK, noSignals, null, 8)
}

/** What clone3's CLONE_INTO_CGROUP does, by hand. */
function addCgroup(program: Program, cgroup: number): void {
  const self = new TextEncoder().encode('0')
  const file = program.call('openat', cgroup, 'cgroup.procs', O_WRONLY, 0)
  program.call('write', file, self, self.length)
  program.call('close', file)
}

function addPriorities(program: Program, options: SpawnOptions): void {
  if (options.nice !== undefined) {
    program.call('setpriority', PRIO_PROCESS, 0, between(options.nice, -20, 19, 'nice'))
  }
  if (options.ioPriority !== undefined) {
    program.call('ioprio_set', IOPRIO_WHO_PROCESS, 0, ioPriorityNumber(options.ioPriority))
  }
  if (options.scheduling !== undefined) {
    const { policy, priority } = options.scheduling
    const parameter = new Uint8Array(Int32Array.of(between(priority, 0, 99, 'priority')).buffer)
    program.call('sched_setscheduler', 0, u32(policy, 'policy'), parameter)
  }
  if (options.oomScoreAdj !== undefined) {
    const text = new TextEncoder().encode(String(between(options.oomScoreAdj, -1000, 1000, 'oomScoreAdj')))
    const file = program.call('openat', AT_FDCWD, '/proc/self/oom_score_adj', O_WRONLY, 0)
    program.call('write', file, text, text.length)
    program.call('close', file)
  }
}

function rlimit64(limit: Rlimit): Uint8Array {
  const RLIM_INFINITY = 0xffff_ffff_ffff_ffffn
  const value = (amount: number): bigint =>
    amount === Infinity ? RLIM_INFINITY : BigInt(between(amount, 0, Number.MAX_SAFE_INTEGER, 'rlimit'))
  return new Uint8Array(BigUint64Array.of(value(limit.soft), value(limit.hard)).buffer)
}

function addSession(program: Program, options: SpawnOptions): void {
  if (options.newSession === true) program.call('setsid')
  else if (options.newProcessGroup === true) program.call('setpgid', 0, 0)
}

function addCredentials(program: Program, options: SpawnOptions): void {
  const { uid, gid, groups } = options
  if (groups !== undefined) {
    const list = Uint32Array.from(groups, (group) => u32(group, 'group'))
    program.call('setgroups', list.length, new Uint8Array(list.buffer))
  }
  if (gid !== undefined) program.call('setresgid', u32(gid, 'gid'), gid, gid)
  if (uid !== undefined) program.call('setresuid', u32(uid, 'uid'), uid, uid)
  if (options.noNewPrivileges === true) program.call('prctl', PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
  if (options.parentDeathSignal !== undefined) {
    program.call('prctl', PR_SET_PDEATHSIG, u32(options.parentDeathSignal, 'parentDeathSignal'), 0, 0, 0)
  }
}

/** Whether {@link addFds} opens descriptors, which could take the number of a source that is closed. */
function allocates(fds: ReadonlyMap<number, ChildFd>): boolean {
  return [...fds].some(([target, source]) => source === 'null' || isInTheWay(fds, target, source))
}

/** Whether a source lies where another target will be. */
function isInTheWay(fds: ReadonlyMap<number, ChildFd>, target: number, source: ChildFd): source is number {
  return typeof source === 'number' && source !== target && fds.has(source)
}

/** Fails where a source is not open. */
function addChecks(program: Program, fds: ReadonlyMap<number, ChildFd>): void {
  for (const source of new Set(fds.values()))
    if (typeof source === 'number') program.call('fcntl', source, F_GETFD)
}

/**
 * Puts each descriptor at its number. Sources that lie where another target will be are first duplicated out of the
 * way, so that no order of assignments can overwrite one.
 */
function addFds(program: Program, fds: ReadonlyMap<number, ChildFd>): void {
  const aboveTargets = Math.max(-1, ...fds.keys()) + 1
  let nothing: Step | undefined
  const openNothing = (): Step => {
    const opened = program.call('openat', AT_FDCWD, '/dev/null', O_RDWR, 0)
    const moved = program.call('fcntl', opened, F_DUPFD, aboveTargets)
    // It may have got a number that is inherited, and closed here.
    program.call('close', opened)
    return moved
  }
  const sources = new Map<number, number | 'inherit' | Step>()
  for (const [target, source] of fds) {
    if (source === 'null') sources.set(target, (nothing ??= openNothing()))
    else if (isInTheWay(fds, target, source))
      sources.set(target, program.call('fcntl', source, F_DUPFD, aboveTargets))
    else sources.set(target, source)
  }
  for (const [target, source] of sources) {
    if (source === target) program.call('fcntl', target, F_SETFD, 0)
    // EBADF: what was to be inherited is closed in the parent, and so it is in the child.
    else if (source === 'inherit') program.call('fcntl', target, F_SETFD, 0).tolerate('EBADF')
    else program.call('dup3', source, target, 0)
  }
}

/** A duplicate of a descriptor of ours at a number that {@link addFds} does not overwrite. */
function moveAway(program: Program, fd: AsFd, fds: ReadonlyMap<number, ChildFd>): Step {
  return program.call('fcntl', fdNumber(fd), F_DUPFD, Math.max(-1, ...fds.keys()) + 1)
}
