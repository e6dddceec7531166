// Starting programs: clone3(CLONE_VM | CLONE_VFORK) and a syscall program in the child. The engine is not forked,
// no helper binary is executed, and any step may come between clone and exec.
import { AT_FDCWD, STATX_TYPE, S_IFMT, S_IFREG, X_OK } from './generated/constants/file.ts'
import {
  CLONE_CLEAR_SIGHAND,
  CLONE_INTO_CGROUP,
  CLONE_NEWCGROUP,
  CLONE_NEWIPC,
  CLONE_NEWNET,
  CLONE_NEWNS,
  CLONE_NEWPID,
  CLONE_NEWUTS,
  CLONE_PIDFD,
  CLONE_VFORK,
  CLONE_VM,
  PR_GET_DUMPABLE,
  PR_SET_DUMPABLE,
  P_PIDFD,
  WEXITED,
} from './generated/constants/process.ts'
import { SIGCHLD, SIG_SETMASK } from './generated/constants/signal.ts'
import { errnoNumber, isError, isSysError, SysError } from './errno.ts'
import { type AsFd, fdNumber, OwnedFd } from './fd.ts'
import { faccessat, statx } from './fs.ts'
import { duplicate, pipe2, setNonBlocking } from './io.ts'
import { type Mapping, mmap } from './memory.ts'
import { waitid } from './process.ts'
import { interpreters, rowWords } from './program/interpreter.ts'
import { addressOf, bind, currentArchitecture, syscallNumber } from './raw.ts'
import { mapCode, nativeFunction } from './raw/ffi.ts'
import type { WaitOptions } from './reactor.ts'
import { type ChildPipes, makeChild } from './spawn/child.ts'
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
  /** −1000 … 1000. */
  oomScoreAdj?: number
  /** File mode creation mask. */
  umask?: number
  /** An open cgroup2 directory in which the child is born. */
  cgroup?: AsFd
  /** CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWCGROUP. */
  namespaces?: number
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

/** Namespaces that need no help of the parent's while the child waits. */
const possibleNamespaces =
  CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWCGROUP

/**
 * Starts a program.
 *
 * Blocks this thread until the child executes it or fails, as vfork(2) does: well under a millisecond, unless the
 * disk that holds the program is slow. A step that fails is named in the error: `spawn /bin/x: execve: ENOENT: …`.
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
  const namespaces = options.namespaces ?? 0
  if ((namespaces & ~possibleNamespaces) !== 0)
    throw new RangeError('spawn: such namespaces are not possible')
  validateEnvironment(options.env)
  const stdio: OpenedStdio = { ours: [0, 1, 2], parent: {}, child: [] }
  try {
    openStdio(options, stdio)
    const fds = childFds(options, stdio.ours)
    const file = findProgram(options)
    const { pid, pidfd } = clone(file, options, fds)
    return makeChild(pid, pidfd, stdio.parent)
  } catch (error) {
    for (const end of Object.values(stdio.parent)) end.close()
    throw error
  } finally {
    for (const end of stdio.child) end.close()
  }
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

const rtSigprocmask = bind('rt_sigprocmask', 'int', 'ptr', 'ptr', 'int')
const prctl = bind('prctl', 'int', 'int', 'int', 'int', 'int')
const allSignals = new BigUint64Array(new ArrayBuffer(8)).fill(0xffff_ffff_ffff_ffffn)
const savedSignals = new BigUint64Array(new ArrayBuffer(8))

/** The machine-code function `spawn(cloneRow, childRow)`. */
let spawnCode: ((cloneRow: Uint8Array, childRow: number) => number) | undefined

/** Memory that the child reads and writes. One serves all spawns of a thread: each is over when it returns. */
let arena: Mapping | undefined

/** What most programs need; larger argument lists get a larger mapping. */
const arenaSizeBytes = 65_536

/** clone3 is refused by some container runtimes' seccomp profiles, which answer ENOSYS: then clone. */
let legacyClone = false

function clone(
  file: string,
  options: SpawnOptions,
  fds: Map<number, ChildFd>,
): { pid: number; pidfd: OwnedFd } {
  const program = childProgram(file, options, fds, legacyClone)
  if (arena === undefined || program.sizeBytesMax > arena.bytes.length) {
    const lengthBytes = Math.max(arenaSizeBytes, program.sizeBytesMax)
    const larger = mmap({ lengthBytes })
    arena?.[Symbol.dispose]()
    arena = larger
  }
  const compiled = program.compile({ address: arena.address }, arena.bytes)
  const row = legacyClone ? cloneRow(options) : clone3Row(options)
  spawnCode ??= loadSpawnCode()
  // A signal handler must not run in the child: it would run on the parent's stack and memory.
  rtSigprocmask(SIG_SETMASK, allSignals, savedSignals, 8)
  const changesUser = options.uid !== undefined || options.gid !== undefined
  const dumpable = changesUser ? prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) : 0
  const pid = spawnCode(row, arena.address)
  // A change of user takes "dumpable" from the memory, which until the exec is ours too (kernel/cred.c,
  // commit_creds): our /proc files would belong to root, and we could not be traced or leave a core.
  if (dumpable === 1) prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)
  rtSigprocmask(SIG_SETMASK, savedSignals, null, 8)
  const ENOSYS = 38
  if (pid === -ENOSYS && !legacyClone) {
    legacyClone = true
    return clone(file, options, fds)
  }
  if (isError(pid)) throw new SysError({ errno: -pid, syscall: 'spawn', path: file, attempt: 'clone3' })
  const pidfd = new OwnedFd(pidfdMemory[0] ?? -1)
  const failure = program.failure(compiled)
  if (failure === undefined) return { pid, pidfd }
  reapFailed(pidfd)
  const subject = failure.step.name === 'chdir' ? ` ${String(options.cwd)}` : ''
  throw new SysError({
    errno: failure.errno,
    syscall: 'spawn',
    path: file,
    attempt: `${failure.step.name}${subject}`,
  })
}

function reapFailed(pidfd: OwnedFd): void {
  try {
    waitid({ idtype: P_PIDFD, id: pidfd, options: WEXITED })
  } catch (error) {
    // ECHILD: this process ignores SIGCHLD, and the kernel reaps for it.
    if (!isSysError(error, 'ECHILD')) throw error
  } finally {
    pidfd.close()
  }
}

function loadSpawnCode(): NonNullable<typeof spawnCode> {
  const { code, spawnOffset } = interpreters[currentArchitecture()]
  return nativeFunction(mapCode(code) + spawnOffset, ['ptr', 'int'])
}

const pidfdMemory = new Int32Array(new ArrayBuffer(4))
const pidfdMapping = { address: 0 }

/** The kernel writes the pidfd here; the address is stored in rows, so the memory must not move. */
function pidfdAddress(): number {
  if (pidfdMapping.address === 0) pidfdMapping.address = addressOf(pidfdMemory)
  return pidfdMapping.address
}

const cloneArgs = new BigUint64Array(new ArrayBuffer(88))
const row = new BigInt64Array(new ArrayBuffer(88))

/** Row of `clone3(cl_args, size)`; struct clone_args (linux/sched.h): flags, pidfd, …, exit_signal, …, cgroup. */
function clone3Row(options: SpawnOptions): Uint8Array {
  const { cgroup } = options
  const flags =
    BigInt(CLONE_VM | CLONE_VFORK | CLONE_PIDFD | (options.namespaces ?? 0)) +
    BigInt(CLONE_CLEAR_SIGHAND) +
    (cgroup === undefined ? 0n : BigInt(CLONE_INTO_CGROUP))
  cloneArgs.fill(0n)
  cloneArgs[0] = flags
  cloneArgs[1] = BigInt(pidfdAddress())
  cloneArgs[4] = BigInt(SIGCHLD)
  if (cgroup !== undefined) cloneArgs[10] = BigInt(fdNumber(cgroup))
  return rowOf('clone3', BigInt(addressOf(cloneArgs)), BigInt(cloneArgs.byteLength))
}

/** Row of `clone(flags, stack, parent_tid, …)`: the pidfd comes through parent_tid, and the stack is shared. */
function cloneRow(options: SpawnOptions): Uint8Array {
  const flags = CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD | (options.namespaces ?? 0)
  return rowOf('clone', BigInt(flags), 0n, BigInt(pidfdAddress()))
}

function rowOf(name: 'clone' | 'clone3', ...parameters: bigint[]): Uint8Array {
  row.fill(0n)
  row[rowWords.number] = BigInt(syscallNumber(name))
  for (const [index, value] of parameters.entries()) row[rowWords.arguments + index] = value
  return new Uint8Array(row.buffer)
}
