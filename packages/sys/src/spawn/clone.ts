// Children that run a program in this process's memory: clone3(CLONE_VM), or clone where that is refused.
import {
  CLONE_CHILD_CLEARTID,
  CLONE_CLEAR_SIGHAND,
  CLONE_INTO_CGROUP,
  CLONE_NEWCGROUP,
  CLONE_NEWIPC,
  CLONE_NEWNET,
  CLONE_NEWNS,
  CLONE_NEWPID,
  CLONE_NEWUSER,
  CLONE_NEWUTS,
  CLONE_PIDFD,
  CLONE_VFORK,
  CLONE_VM,
  P_PIDFD,
  WEXITED,
} from '../generated/constants/process.ts'
import { SIGCHLD, SIGKILL, SIG_SETMASK } from '../generated/constants/signal.ts'
import { isError, isSysError, SysError } from '../errno.ts'
import { type AsFd, fdNumber, OwnedFd } from '../fd.ts'
import { futex_wait_relative } from '../futex.ts'
import { mmap } from '../memory/map.ts'
import type { Mapping } from '../memory/mapping.ts'
import { pidfd_send_signal, waitid, type WaitResult } from '../process.ts'
import type { Program } from '../program.ts'
import { interpreters, rowSizeBytes, rowWords } from '../program/interpreter.ts'
import { addressOf, bind, currentArchitecture, syscallNumber } from '../raw.ts'
import { u32 } from '../raw/arguments.ts'
import { mapCode, nativeFunction } from '../raw/ffi.ts'
import { beginSharing, endSharing } from './dumpable.ts'

/** What a child is to be. */
export interface CloneRequest {
  /** Makes its program. `legacyClone`: it comes from clone(2), which cannot clear signal handlers or enter a cgroup. */
  program: (legacyClone: boolean) => Program
  /** CLONE_NEW* and CLONE_FILES. */
  flags: number
  /** Where it is born. */
  cgroup?: AsFd | undefined
  /** What errors name: the program's path. */
  path?: string | undefined
  /** What errors begin with. */
  caller: string
  /**
   * What this thread does while the child runs, instead of being suspended until it has executed a program or ended.
   * The child waits for it at a `Rendezvous`.
   */
  meanwhile?: ((child: RunningChild) => void) | undefined
}

/** A child that runs its program. */
export interface RunningChild {
  /** Its process id. */
  pid: number
  /** What it runs. */
  program: Program
  /** The program's bytes, which it reads and writes. */
  compiled: Uint8Array
  /** The memory that they lie in. */
  mapping: Mapping
}

/** A child that has executed another program or ended. */
export interface Cloned {
  /** Its process id. */
  pid: number
  /** The caller closes it. */
  pidfd: OwnedFd
  /** What it ran. */
  program: Program
  /** The program as it left it, until the next child is made. */
  compiled: Uint8Array
}

/** Namespaces that a child can be born in. */
const possibleNamespaces =
  CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWCGROUP

/**
 * `flags`, if they name nothing but namespaces: others would share with the child what it then breaks for the engine.
 *
 * @throws RangeError otherwise
 */
export function namespaceFlags(flags: number, caller: string): number {
  if ((u32(flags, 'namespaces') & ~possibleNamespaces) !== 0) {
    throw new RangeError(`${caller}: such namespaces are not possible: 0x${flags.toString(16)}`)
  }
  return flags
}

const rtSigprocmask = bind('rt_sigprocmask', 'int', 'ptr', 'ptr', 'int')
const allSignals = new BigUint64Array(new ArrayBuffer(8)).fill(0xffff_ffff_ffff_ffffn)
const savedSignals = new BigUint64Array(new ArrayBuffer(8))

/** The machine-code function `spawn(cloneRow, childRow)`. */
let spawnCode: ((cloneRow: Uint8Array, childRow: number) => number) | undefined

/** Memory that the child reads and writes. One serves all children of a thread: each is done with it when we return. */
let arena: Mapping | undefined

/** What most programs need; larger argument lists get a larger mapping. */
const arenaSizeBytes = 65_536

/** clone3 is refused by some container runtimes' seccomp profiles, which answer ENOSYS: then clone. */
let legacyClone = false

/** Where a program is compiled to. */
export interface Room {
  /** The memory. */
  mapping: Mapping
  /** The program in it. */
  compiled: Uint8Array
}

/** A child that was just made. */
export interface Begun extends RunningChild {
  /** The caller closes it. */
  pidfd: OwnedFd
}

/**
 * Makes a child and returns when it has executed another program or ended.
 *
 * @throws {@link SysError} of clone3; what `meanwhile` throws, after which the child is gone
 */
export function cloneChild(request: CloneRequest): Cloned {
  const { meanwhile } = request
  const child = beginChild(request, compileInto, meanwhile === undefined)
  if (meanwhile === undefined) return child
  try {
    attend(meanwhile, child)
  } finally {
    endSharing()
  }
  return child
}

/**
 * Makes a child, in memory that `findRoom` gives.
 *
 * @param suspends - returns when the child has executed another program or ended; else at once: {@link isInside} tells when
 * that is, and the caller says so by `endSharing`
 * @throws {@link SysError} of clone3
 */
export function beginChild(
  request: CloneRequest,
  findRoom: (program: Program) => Room,
  suspends: boolean,
): Begun {
  const program = request.program(legacyClone)
  const { mapping, compiled } = findRoom(program)
  const cloneRowOf = legacyClone ? cloneRow : clone3Row
  const row = cloneRowOf(request, waitingFlags(suspends, mapping))
  spawnCode ??= loadSpawnCode()
  // A signal handler must not run in the child: it would run on the parent's stack and memory.
  rtSigprocmask(SIG_SETMASK, allSignals, savedSignals, 8)
  beginSharing()
  const pid = spawnCode(row, mapping.address)
  if (suspends || isError(pid)) endSharing()
  rtSigprocmask(SIG_SETMASK, savedSignals, null, 8)
  const ENOSYS = 38
  if (pid === -ENOSYS && !legacyClone) {
    legacyClone = true
    return beginChild(request, findRoom, suspends)
  }
  if (isError(pid)) {
    throw new SysError({ errno: -pid, syscall: request.caller, path: request.path, attempt: 'clone3' })
  }
  return { pid, pidfd: new OwnedFd(pidfdMemory[0] ?? -1), program, compiled, mapping }
}

/** The end of the arena: a word that is not 0 while the child uses our memory. */
const doneOffset = 8

/** Bytes that `program` wants of a mapping. */
export function roomBytes(program: Program): number {
  return program.sizeBytesMax + doneOffset
}

/** Compiles `program` into a mapping of at least {@link roomBytes}. */
export function compileTo(program: Program, mapping: Mapping): Room {
  const room = mapping.bytes.subarray(0, mapping.bytes.length - doneOffset)
  return { mapping, compiled: program.compile({ address: mapping.address }, room) }
}

function compileInto(program: Program): Room {
  const sizeBytes = roomBytes(program)
  if (arena === undefined || sizeBytes > arena.bytes.length) {
    const larger = mmap({ lengthBytes: Math.max(arenaSizeBytes, sizeBytes) })
    arena?.[Symbol.dispose]()
    arena = larger
  }
  return compileTo(program, arena)
}

/** Whether the child still uses our memory. */
export function isInside({ bytes }: Mapping): boolean {
  return Atomics.load(new Int32Array(bytes.buffer, bytes.byteOffset + bytes.length - doneOffset, 1), 0) !== 0
}

/** Runs `meanwhile`, and waits until the child has left our memory. */
function attend(meanwhile: NonNullable<CloneRequest['meanwhile']>, child: Begun): void {
  const { mapping, pidfd } = child
  try {
    meanwhile(child)
  } catch (error) {
    pidfd_send_signal(pidfd, SIGKILL)
    reap(pidfd)
    throw error
  }
  while (isInside(mapping)) {
    try {
      futex_wait_relative({ mapping, offset: mapping.bytes.length - doneOffset }, 1)
    } catch (error) {
      // EAGAIN: it has left between our look and the call. EINTR: a signal was handled.
      if (!isSysError(error, 'EAGAIN') && !isSysError(error, 'EINTR')) throw error
    }
  }
}

/** Takes the status of a child that is not handed out, and closes its pidfd. */
export function reap(pidfd: OwnedFd): WaitResult | null {
  try {
    return waitid({ idtype: P_PIDFD, id: pidfd, options: WEXITED })
  } catch (error) {
    // ECHILD: this process ignores SIGCHLD, and the kernel reaps for it.
    if (!isSysError(error, 'ECHILD')) throw error
    return null
  } finally {
    pidfd.close()
  }
}

function loadSpawnCode(): NonNullable<typeof spawnCode> {
  const { code, spawnOffset } = interpreters[currentArchitecture()]
  return nativeFunction(mapCode(code()) + spawnOffset, ['ptr', 'int'])
}

const pidfdMemory = new Int32Array(new ArrayBuffer(4))
const pidfdMapping = { address: 0 }

/** The kernel writes the pidfd here; the address is stored in rows, so the memory must not move. */
function pidfdAddress(): number {
  if (pidfdMapping.address === 0) pidfdMapping.address = addressOf(pidfdMemory)
  return pidfdMapping.address
}

interface Waiting {
  flags: number
  /** What becomes 0 when the child has left our memory. */
  doneAddress: number
}

/** The flags that suspend us, or tell us by a futex when the child has left our memory. */
function waitingFlags(suspends: boolean, mapping: Mapping): Waiting {
  if (suspends) return { flags: CLONE_VFORK, doneAddress: 0 }
  const offset = mapping.bytes.length - doneOffset
  new DataView(mapping.bytes.buffer, mapping.bytes.byteOffset + offset).setInt32(0, 1, true)
  return { flags: CLONE_CHILD_CLEARTID, doneAddress: mapping.address + offset }
}

const cloneArgs = new BigUint64Array(new ArrayBuffer(88))
const row = new BigInt64Array(new ArrayBuffer(rowSizeBytes(6)))

/** Row of `clone3(cl_args, size)`; struct clone_args (linux/sched.h): flags, pidfd, child_tid, …, exit_signal, …, cgroup. */
function clone3Row(request: CloneRequest, { flags, doneAddress }: Waiting): Uint8Array {
  const { cgroup } = request
  cloneArgs.fill(0n)
  cloneArgs[0] =
    BigInt((CLONE_VM | CLONE_PIDFD | flags | request.flags) >>> 0) +
    BigInt(CLONE_CLEAR_SIGHAND) +
    (cgroup === undefined ? 0n : BigInt(CLONE_INTO_CGROUP))
  cloneArgs[1] = BigInt(pidfdAddress())
  cloneArgs[2] = BigInt(doneAddress)
  cloneArgs[4] = BigInt(SIGCHLD)
  if (cgroup !== undefined) cloneArgs[10] = BigInt(fdNumber(cgroup))
  return rowOf('clone3', BigInt(addressOf(cloneArgs)), BigInt(cloneArgs.byteLength))
}

/** Row of `clone(flags, stack, parent_tid, …)`: the pidfd comes through parent_tid, and the stack is shared. */
function cloneRow(request: CloneRequest, { flags, doneAddress }: Waiting): Uint8Array {
  const all = BigInt((CLONE_VM | CLONE_PIDFD | SIGCHLD | flags | request.flags) >>> 0)
  // child_tid comes before tls on x86-64, and after it on arm64.
  const last = currentArchitecture() === 'x64' ? [BigInt(doneAddress), 0n] : [0n, BigInt(doneAddress)]
  return rowOf('clone', all, 0n, BigInt(pidfdAddress()), ...last)
}

function rowOf(name: 'clone' | 'clone3', ...parameters: bigint[]): Uint8Array {
  row.fill(0n)
  row[rowWords.number] = BigInt(syscallNumber(name))
  for (const [index, value] of parameters.entries()) row[rowWords.arguments + index] = value
  return new Uint8Array(row.buffer)
}
