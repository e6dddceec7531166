// The memory of other processes: reading, writing and advising it, letting it go.
import { MADV_COLD, MADV_COLLAPSE, MADV_PAGEOUT, MADV_WILLNEED } from './generated/constants/memory.ts'
import { check, isError } from './errno.ts'
import { type AsFd, fdNumber } from './fd.ts'
import { addressOf, bind } from './raw.ts'
import { bytes, size, s32, u32, u64 } from './raw/arguments.ts'

const raw = {
  readv: bind('process_vm_readv', 'int', 'ptr', 'int', 'ptr', 'int', 'int'),
  writev: bind('process_vm_writev', 'int', 'ptr', 'int', 'ptr', 'int', 'int'),
  getpid: bind('getpid'),
  tgkill: bind('tgkill', 'int', 'int', 'int'),
  madvise: bind('process_madvise', 'int', 'ptr', 'int', 'int', 'int'),
  mrelease: bind('process_mrelease', 'int', 'int'),
}

/** `struct iovec`: address, length. */
function vector(address: number | bigint, length: number): BigUint64Array {
  const words = new BigUint64Array(new ArrayBuffer(16))
  words.set([u64(address, 'address'), BigInt(length)])
  return words
}

/** A copy of `buffer` whose address does not move, or room for as much. */
function fixed(sizeBytes: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(new ArrayBuffer(Math.max(sizeBytes, 1)))
}

/**
 * `process_vm_readv(pid, local_iov, liovcnt, remote_iov, riovcnt, flags)` — reads memory of another process; returns
 * how many bytes.
 *
 * Needs: the right to trace it (ptrace(2), PTRACE_MODE_ATTACH_REALCREDS).
 *
 * @throws {@link SysError} `EFAULT` nothing is mapped there; `ESRCH`; `EPERM`
 * @see https://man7.org/linux/man-pages/man2/process_vm_readv.2.html
 */
export function process_vm_readv(pid: number, address: number | bigint, buffer: Uint8Array): number {
  const local = fixed(bytes(buffer).length)
  const here = vector(addressOf(local), buffer.length)
  const there = vector(address, buffer.length)
  const count = check(raw.readv(s32(pid, 'pid'), here, 1, there, 1, 0), 'process_vm_readv', String(pid))
  buffer.set(local.subarray(0, count))
  return count
}

/** Whether `id` is a thread of this process: signal 0 reaches no other as one of its group. */
function isOurs(id: number): boolean {
  return !isError(raw.tgkill(raw.getpid(), id, 0))
}

/**
 * `process_vm_writev(pid, local_iov, liovcnt, remote_iov, riovcnt, flags)` — writes memory of another process; returns
 * how many bytes. What the other process makes of that is the caller's affair.
 *
 * This process is refused, by the number of any of its threads: its memory is the engine's.
 *
 * @throws {@link SysError} `EFAULT` nothing is mapped there, or not writable; `ESRCH`; `EPERM`; RangeError for this process
 * @see https://man7.org/linux/man-pages/man2/process_vm_readv.2.html
 */
export function process_vm_writev(pid: number, address: number | bigint, buffer: Uint8Array): number {
  if (isOurs(s32(pid, 'pid'))) throw new RangeError('process_vm_writev: not into this process')
  const local = fixed(bytes(buffer).length)
  local.set(buffer)
  const here = vector(addressOf(local), buffer.length)
  const there = vector(address, buffer.length)
  const count = check(raw.writev(s32(pid, 'pid'), here, 1, there, 1, 0), 'process_vm_writev', String(pid))
  local.fill(0) // touched after the call, so that it lives until then
  return count
}

/**
 * Advice that loses nothing. All that the kernel takes for other processes; for the own, since Linux 6.13, it takes any,
 * and MADV_DONTNEED would empty the engine's memory.
 */
const harmless = new Set([MADV_COLD, MADV_COLLAPSE, MADV_PAGEOUT, MADV_WILLNEED])

/**
 * `process_madvise(pidfd, iov, iovcnt, advice, flags)` — advises about memory of another process; returns how many bytes
 * it covers. Since: Linux 5.10. Needs: CAP_SYS_NICE and the right to read its memory.
 *
 * @param advice - MADV_COLD, MADV_PAGEOUT, MADV_WILLNEED, MADV_COLLAPSE
 * @throws {@link SysError} `ENOMEM` not mapped; `ESRCH`; `EPERM`; RangeError for other advice
 * @see https://man7.org/linux/man-pages/man2/process_madvise.2.html
 */
export function process_madvise(
  pidfd: AsFd,
  address: number | bigint,
  sizeBytes: number,
  advice: number,
): number {
  if (!harmless.has(u32(advice, 'advice'))) throw new RangeError(`advice: ${advice} could lose memory`)
  const range = vector(address, size(sizeBytes, 'sizeBytes'))
  return check(raw.madvise(fdNumber(pidfd), range, 1, advice, 0), 'process_madvise')
}

/**
 * `process_mrelease(pidfd, flags)` — frees the memory of a process that is dying, at once. Since: Linux 5.15.
 *
 * @throws {@link SysError} `EINVAL` it was not killed; `ESRCH` it has ended; `EPERM`
 * @see https://man7.org/linux/man-pages/man2/process_mrelease.2.html
 */
export function process_mrelease(pidfd: AsFd): void {
  check(raw.mrelease(fdNumber(pidfd), 0), 'process_mrelease')
}
