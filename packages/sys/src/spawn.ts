// Starting programs: clone3(CLONE_VM | CLONE_VFORK) and a syscall program in the child. The engine is not forked,
// no helper binary is executed, and any step may come between clone and exec.
import { AT_FDCWD, X_OK } from './generated/constants/open.ts'
import { STATX_TYPE, S_IFMT, S_IFREG } from './generated/constants/stat.ts'
import { errnoNumber, SysError } from './errno.ts'
import type { AsFd, OwnedFd } from './fd.ts'
import { faccessat, statx } from './fs.ts'
import type { IoPriority } from './limits.ts'
import type { Program } from './program.ts'
import { explainCall } from './program/explain.ts'
import type { WaitOptions } from './reactor.ts'
import { cloneBeside, kill } from './spawn/beside.ts'
import { makeChild } from './spawn/child.ts'
import { type Cloned, cloneChild, type CloneRequest, namespaceFlags, reap } from './spawn/clone.ts'
import { needsParent, writeIdMaps } from './spawn/confine.ts'
import { writeOomScore } from './spawn/oom-score.ts'
import { Rendezvous } from './spawn/rendezvous.ts'
import { childFds, closeAll, type OpenedStdio, openStdio } from './spawn/stdio.ts'
import { type ChildFd, childProgram } from './spawn/steps.ts'
import { validateOptions } from './spawn/validate.ts'

/** What one of the child's first three descriptors is. */
export type Stdio = 'null' | 'inherit' | 'pipe' | AsFd

/** One resource limit. */
export interface Rlimit {
  /** RLIMIT_NOFILE …. */
  resource: number
  /** Infinity for none. */
  soft: number
  /** How far the child itself may raise `soft`. */
  hard: number
}

/** By which rules a program gets the processor. */
export interface Scheduling {
  /** SCHED_OTHER, SCHED_BATCH, SCHED_IDLE, SCHED_FIFO, SCHED_RR; | SCHED_RESET_ON_FORK. */
  policy: number
  /** 1 … 99 for SCHED_FIFO and SCHED_RR, else 0. */
  priority: number
}

/** An id of a user namespace, or a range of them. */
export interface IdMap {
  /** What it is inside: the first. */
  inside: number
  /** Whose it is outside: the first. */
  outside: number
  /** How many; default: one. */
  count?: number
}

/** What to start, and as what. */
export interface SpawnOptions {
  /**
   * The program. A name without `/` is looked for in the PATH of `env`, by the parent: from its working directory
   * and with its rights. One with `/` that is not absolute begins at `cwd`.
   */
  file: string
  /** Arguments after argv[0]. */
  args?: readonly string[]
  /** argv[0]; default: `file`. */
  argv0?: string
  /** The whole environment: nothing is inherited. Variables that are undefined are left out. */
  env: Readonly<Record<string, string | undefined>>
  /** Working directory; default: the parent's. */
  cwd?: string
  /** Standard input, output and error; default: inherited. */
  stdio?: readonly [Stdio, Stdio, Stdio]
  /**
   * Further descriptors by their number in the child. All others are closed at exec. One that is not open is an error,
   * while a closed one of ours that stdio inherits is closed in the child too.
   */
  fds?: Readonly<Record<number, AsFd>>
  /** Makes it the leader of a new session. */
  newSession?: boolean
  /** Makes it the leader of a new process group. */
  newProcessGroup?: boolean
  /** Makes this terminal the controlling one of the new session. */
  controllingTty?: AsFd
  /** User id: real, effective and saved. Give `groups` and `gid` too: they are not derived. */
  uid?: number
  /** Group id: real, effective and saved. */
  gid?: number
  /** Supplementary groups; `[]` for none. */
  groups?: readonly number[]
  /** Set-uid programs and file capabilities give nothing. */
  noNewPrivileges?: boolean
  /** Resource limits; those that are not named are the parent's. */
  rlimits?: readonly Rlimit[]
  /** −20 … 19. */
  nice?: number
  /** How its reads and writes are served by disks: see `ioprio_set` of `@pkg/sys/limits`. */
  ioPriority?: IoPriority
  /** SCHED_FIFO and 1 … 99, SCHED_BATCH and 0 …: see `sched_setscheduler` of `@pkg/sys/scheduler`. */
  scheduling?: Scheduling
  /**
   * −1000 … 1000. `spawn` sets it before the program runs. With `spawnBeside` and with lists of ids this process does, as
   * soon as the child has left its memory: the program has run for some microseconds by then.
   */
  oomScoreAdj?: number
  /** File mode creation mask. */
  umask?: number
  /** An open cgroup2 directory in which the child is born. */
  cgroup?: AsFd
  /** CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWCGROUP. */
  namespaces?: number
  /**
   * With CLONE_NEWUSER: the user that the child is inside, and which of ours that is: our effective one. A list of
   * ranges is written by this process, which needs CAP_SETUID for it; give `uid`, `gid` and `groups` then: what the child
   * is to be inside.
   */
  uidMap?: IdMap | readonly IdMap[]
  /** The same of the group. After a single id the child cannot change its groups; after ranges it can. */
  gidMap?: IdMap | readonly IdMap[]
  /**
   * Adds calls that the child makes before it gives up privileges: mounts, `pivot_root`, a hostname. They run after
   * `cwd` is entered and descriptors are in place; the first that fails ends the child and is named in the error. Until
   * exec the child is in this process's memory: what belongs to the memory (coredump_filter, PR_SET_THP_DISABLE, and the
   * oom_score_adj with `spawnBeside`) such calls change for this process, for good.
   */
  setup?: (child: Program) => void
  /** All the capabilities that it has, by number, ambient too; `[]` for none, for root inside as well. */
  capabilities?: readonly number[]
  /** SECBIT_NOROOT …: what a change of user or an exec by root gives no more. Needs CAP_SETPCAP. */
  securebits?: number
  /**
   * Rights that it gives up for good: from `landlock_create_ruleset`, with rules that allow at least its program and what
   * that loads. Sets no_new_privs.
   */
  landlock?: AsFd
  /**
   * A filter from `seccompFilter`, installed right before exec. Sets no_new_privs. Not for answers by a supervisor: its
   * descriptor (SECCOMP_FILTER_FLAG_NEW_LISTENER) would be the child's, which loses it at exec, and to hand it over the
   * child had to make calls that the filter already decides about. A helper that installs the filter, sends the descriptor
   * (`sendmsg` with rights) and becomes the program (`execve` of `@pkg/sys/exec`) knows which those are.
   */
  seccomp?: Uint8Array
  /** Sent to the child when the thread that spawned it ends. */
  parentDeathSignal?: number
}

/** How a child ended: with an exit status or by a signal, the other is null. */
export interface ExitStatus {
  /** The child's process id. */
  pid: number
  /** Exit status; null when a signal ended it. */
  code: number | null
  /** The signal that ended it; null when it exited. */
  signal: number | null
  /** Whether the signal left a core file. */
  coreDumped: boolean
}

/** A started program. */
export interface Child extends Disposable {
  /** Its process id, in this process's pid namespace. */
  readonly pid: number
  /** Readable once it has ended. */
  readonly pidfd: OwnedFd
  /** Our end of a 'pipe', non-blocking. */
  readonly stdin?: OwnedFd
  /** Our end of a 'pipe', non-blocking. */
  readonly stdout?: OwnedFd
  /** Our end of a 'pipe', non-blocking. */
  readonly stderr?: OwnedFd
  /**
   * Resolves when it has ended, and reaps it. May be called again, and by several at once. Where a reaper waits for
   * every child, use that. Blocks: the first call, for at most a tenth of a millisecond.
   *
   * @throws the signal's reason when aborted; TypeError when the child is disposed meanwhile
   */
  wait(options?: WaitOptions): Promise<ExitStatus>
  /** Sends a signal. It cannot hit another process that got the id. */
  kill(signal: number): void
  /**
   * Closes our descriptors. The child goes on, and when it has ended it stays a zombie until somebody waits for it: call
   * {@link Child.wait} before.
   */
  [Symbol.dispose](): void
}

/**
 * `clone3(cl_args, size)` and `execve` — starts a program.
 *
 * Blocks this thread until the child executes it or fails, as vfork(2) does: well under a millisecond, unless the
 * disk that holds the program is slow, or a step of `setup` sleeps: {@link spawnBeside} is for those. A step that fails is named in the error: `spawn /bin/x: setresuid(1, 1, 1): EPERM: …`.
 *
 * Beside `Bun.spawn` and `node:child_process` it works; in PID 1 use neither of them, for a reaper that waits for
 * all children takes theirs too.
 *
 * Each child is to be waited for, by `wait()` or by a reaper of all: one whose handle is dropped or disposed without that
 * is a zombie from its end to that of this process, and keeps its process id.
 *
 * @throws {@link SysError} `ENOENT` no such program (or interpreter of a script); `EACCES` not executable; `EPERM`
 * not allowed; TypeError and RangeError for options that cannot be
 * @see https://man7.org/linux/man-pages/man2/clone.2.html
 *
 * @example
 * ```ts
 * import { spawn } from '@pkg/sys/spawn'
 *
 * using child = spawn({ file: '/bin/sh', args: ['-c', 'exit 3'], env: {} })
 * const { code } = await child.wait()
 * console.assert(code === 3)
 * ```
 */
export function spawn(options: SpawnOptions): Child {
  const prepared = prepare(options)
  try {
    const request = requestOf(prepared, !needsParent(options))
    const { pid, pidfd } = started(request, cloneChild(request))
    return makeChild(pid, pidfd, prepared.stdio.parent)
  } catch (error) {
    closeAll(Object.values(prepared.stdio.parent))
    throw error
  } finally {
    closeAll(prepared.stdio.child)
  }
}

/**
 * {@link spawn}, for steps that may sleep: `setup` that mounts from a slow disk, opens a FIFO or takes a lock. This thread
 * goes on meanwhile, and the promise resolves when the child has executed its program.
 *
 * Costs more than `spawn`: memory of its own for the child, a pipe, a turn of the loop. Until it resolves this process
 * has the child's change of user in one respect: its files in /proc may belong to root. The child that sleeps has copies of
 * all descriptors: the other end of a pipe that is closed here sees no end before it has executed its program. A process
 * that ends meanwhile leaves the child behind, which goes on.
 *
 * @throws as `spawn` does; the reason of `signal` when it is aborted: the child is killed then, and reaped
 *
 * @example
 * ```ts
 * import { CLOCK_MONOTONIC } from '@pkg/sys/constants'
 * import { spawnBeside } from '@pkg/sys/spawn'
 *
 * const tenthOfASecond = new Uint8Array(BigInt64Array.of(0n, 100_000_000n).buffer)
 * using child = await spawnBeside({
 *   file: '/bin/true',
 *   env: {},
 *   setup: (steps) => void steps.call('clock_nanosleep', CLOCK_MONOTONIC, 0, tenthOfASecond, null),
 * })
 * console.assert((await child.wait()).code === 0)
 * ```
 */
export async function spawnBeside(options: SpawnOptions, { signal }: WaitOptions = {}): Promise<Child> {
  signal?.throwIfAborted()
  const prepared = prepare(options)
  try {
    const request = requestOf(prepared, false)
    const running = cloneBeside(request, signal)
    // The child has copies by now.
    closeAll(prepared.stdio.child)
    const { pid, pidfd } = started(request, await running)
    return makeChild(pid, pidfd, prepared.stdio.parent)
  } catch (error) {
    closeAll([...prepared.stdio.child, ...Object.values(prepared.stdio.parent)])
    throw error
  }
}

/** What is to be started, with its pipes opened. */
interface Prepared {
  options: SpawnOptions
  file: string
  fds: Map<number, ChildFd>
  stdio: OpenedStdio
}

function prepare(options: SpawnOptions): Prepared {
  validateOptions(options)
  const stdio: OpenedStdio = { ours: ['inherit', 'inherit', 'inherit'], parent: {}, child: [] }
  try {
    openStdio(options, stdio)
    const fds = childFds(options, stdio.ours)
    return { options, file: findProgram(options), fds, stdio }
  } catch (error) {
    closeAll([...stdio.child, ...Object.values(stdio.parent)])
    throw error
  }
}

/** Looks in PATH, as execvp(3) does. A name that is not found there is never looked for anywhere else. */
function findProgram({ file, env }: SpawnOptions): string {
  if (file.includes('/')) return file
  for (const folder of (env['PATH'] ?? '/usr/local/bin:/usr/bin:/bin').split(':')) {
    const candidate = `${folder || '.'}/${file}`
    if (faccessat(AT_FDCWD, candidate, X_OK) && isFile(candidate)) return candidate
  }
  throw new SysError({ errno: errnoNumber('ENOENT'), syscall: 'spawn', path: file, attempt: 'not in PATH' })
}

function isFile(path: string): boolean {
  return (statx(AT_FDCWD, path, 0, STATX_TYPE).stx_mode & S_IFMT) === S_IFREG
}

/** What is asked of clone. `suspends`: this thread waits in the kernel until the child has left its memory. */
function requestOf({ options, file, fds }: Prepared, suspends: boolean): StartRequest {
  let rendezvous: Rendezvous | undefined
  const meet = (program: Program): void => {
    rendezvous = new Rendezvous(program)
  }
  const isAttended = needsParent(options)
  const { oomScoreAdj, ...others } = options
  return {
    caller: 'spawn',
    path: file,
    flags: namespaceFlags(options.namespaces ?? 0, 'spawn'),
    cgroup: options.cgroup,
    program: (legacyClone) =>
      childProgram(file, suspends ? options : others, fds, legacyClone, isAttended ? meet : undefined),
    oomScore: suspends ? undefined : oomScoreAdj,
    meanwhile: isAttended
      ? (child) => {
          writeIdMaps(child.pid, options)
          rendezvous?.open(child)
        }
      : undefined,
  }
}

/** A request, and what is left to do when the child has executed its program. */
interface StartRequest extends CloneRequest {
  oomScore: number | undefined
}

/** The child, if its program was executed; the error of the step that failed otherwise. */
function started({ path, oomScore }: StartRequest, cloned: Cloned): Cloned {
  const { pid, pidfd, program, compiled } = cloned
  const failure = program.failure(compiled)
  if (failure !== undefined) {
    reap(pidfd)
    throw new SysError({
      errno: failure.errno,
      syscall: 'spawn',
      path,
      // The arguments of execve are the program's own, and many.
      attempt: failure.step.name === 'execve' ? 'execve' : explainCall(failure.step),
    })
  }
  try {
    if (oomScore !== undefined) writeOomScore(pid, pidfd, oomScore)
    return cloned
  } catch (error) {
    kill(cloned)
    reap(pidfd)
    throw error
  }
}
