// Starting programs: clone3(CLONE_VM | CLONE_VFORK) and a syscall program in the child. The engine is not forked,
// no helper binary is executed, and any step may come between clone and exec.
import { AT_FDCWD, X_OK } from './generated/constants/open.ts'
import { STATX_TYPE, S_IFMT, S_IFREG } from './generated/constants/stat.ts'
import { errnoNumber, SysError } from './errno.ts'
import { type AsFd, fdNumber, OwnedFd } from './fd.ts'
import { faccessat, statx } from './fs.ts'
import { duplicate, pipe2, setNonBlocking } from './io.ts'
import type { IoPriority } from './limits.ts'
import type { Program } from './program.ts'
import { explainCall } from './program/explain.ts'
import type { WaitOptions } from './reactor.ts'
import { cloneBeside } from './spawn/beside.ts'
import { type ChildPipes, makeChild } from './spawn/child.ts'
import { type Cloned, cloneChild, type CloneRequest, namespaceFlags, reap } from './spawn/clone.ts'
import { needsParent, writeIdMaps } from './spawn/confine.ts'
import { Rendezvous } from './spawn/rendezvous.ts'
import { type ChildFd, childProgram } from './spawn/steps.ts'

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
  /** The whole environment: nothing is inherited. */
  env: Readonly<Record<string, string>>
  /** Working directory; default: the parent's. */
  cwd?: string
  /** Standard input, output and error; default: inherited. */
  stdio?: readonly [Stdio, Stdio, Stdio]
  /** Further descriptors by their number in the child. All others are closed at exec. */
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
  /** −1000 … 1000. */
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
   * `cwd` is entered and descriptors are in place; the first that fails ends the child and is named in the error.
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
  /** Closes our descriptors. The child goes on. */
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
    const request = requestOf(prepared)
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
    const request = requestOf(prepared)
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
  validateEnvironment(options.env)
  const stdio: OpenedStdio = { ours: [0, 1, 2], parent: {}, child: [] }
  try {
    openStdio(options, stdio)
    const fds = childFds(options, stdio.ours)
    return { options, file: findProgram(options), fds, stdio }
  } catch (error) {
    closeAll([...stdio.child, ...Object.values(stdio.parent)])
    throw error
  }
}

function closeAll(fds: readonly OwnedFd[]): void {
  for (const fd of fds) fd.close()
}

interface OpenedStdio {
  /** What each of 0, 1, 2 will be in the child. */
  ours: [ChildFd, ChildFd, ChildFd]
  /** Pipe ends for the parent to keep. */
  parent: ChildPipes
  /** Pipe ends to close once the child has them. */
  child: OwnedFd[]
}

const stdioNames = ['stdin', 'stdout', 'stderr'] as const

function openStdio(options: SpawnOptions, opened: OpenedStdio): void {
  for (const [number, name] of stdioNames.entries()) {
    const stdio = options.stdio?.[number] ?? 'inherit'
    if (stdio === 'inherit') continue
    if (stdio !== 'pipe') {
      opened.ours[number] = stdio === 'null' ? stdio : fdNumber(stdio)
      continue
    }
    const pipe = pipe2(0)
    const [kept, given] = (number === 0 ? [pipe.write, pipe.read] : [pipe.read, pipe.write]).map(
      aboveStdio,
    ) as [OwnedFd, OwnedFd]
    opened.parent[name] = kept
    opened.child.push(given)
    setNonBlocking(kept, true)
    opened.ours[number] = given.fd
  }
}

/** Where our own 0, 1 or 2 is closed a new pipe takes its number, and 'inherit' would hand it on. */
function aboveStdio(fd: OwnedFd): OwnedFd {
  if (fd.fd > 2) return fd
  using low = fd
  return duplicate(low)
}

function childFds(options: SpawnOptions, stdio: readonly ChildFd[]): Map<number, ChildFd> {
  const fds = new Map<number, ChildFd>(stdio.entries())
  for (const [number, fd] of Object.entries(options.fds ?? {})) {
    const target = Number(number)
    if (!Number.isInteger(target) || target < 3)
      throw new RangeError(`fds: not a number above stdio: ${number}`)
    fds.set(target, fdNumber(fd))
  }
  return fds
}

function validateEnvironment(env: Readonly<Record<string, string>>): void {
  for (const name of Object.keys(env)) {
    if (name === '' || name.includes('='))
      throw new TypeError(`env: not a variable's name: ${JSON.stringify(name)}`)
  }
}

/** Looks in PATH, as execvp(3) does. A name that is not found there is never looked for anywhere else. */
function findProgram({ file, env }: SpawnOptions): string {
  if (file === '') throw new TypeError('spawn: file is empty')
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

function requestOf({ options, file, fds }: Prepared): CloneRequest {
  let rendezvous: Rendezvous | undefined
  const meet = (program: Program): void => {
    rendezvous = new Rendezvous(program)
  }
  const isAttended = needsParent(options)
  return {
    caller: 'spawn',
    path: file,
    flags: namespaceFlags(options.namespaces ?? 0, 'spawn'),
    cgroup: options.cgroup,
    program: (legacyClone) => childProgram(file, options, fds, legacyClone, isAttended ? meet : undefined),
    meanwhile: isAttended
      ? (child) => {
          writeIdMaps(child.pid, options)
          rendezvous?.open(child)
        }
      : undefined,
  }
}

/** The child, if its program was executed; the error of the step that failed otherwise. */
function started({ path }: CloneRequest, cloned: Cloned): Cloned {
  const failure = cloned.program.failure(cloned.compiled)
  if (failure === undefined) return cloned
  reap(cloned.pidfd)
  throw new SysError({
    errno: failure.errno,
    syscall: 'spawn',
    path,
    // The arguments of execve are the program's own, and many.
    attempt: failure.step.name === 'execve' ? 'execve' : explainCall(failure.step),
  })
}
