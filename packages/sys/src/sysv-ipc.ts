// System V's shared memory, semaphores and message queues: objects of an IPC namespace, which outlive processes.
import {
  GETALL,
  GETNCNT,
  GETPID,
  GETVAL,
  IPC_RMID,
  IPC_STAT,
  SETALL,
  SETVAL,
} from './generated/constants/ipc.ts'
import { check } from './errno.ts'
import { makeMapping } from './memory/mapping.ts'
import type { Mapping } from './memory.ts'
import { bind } from './raw.ts'
import { bytes, s64, size, timespec, u32 } from './raw/arguments.ts'

const raw = {
  shmget: bind('shmget', 'int', 'int', 'int'),
  shmat: bind('shmat', 'int', 'int', 'int'),
  shmdt: bind('shmdt', 'int'),
  shmctl: bind('shmctl', 'int', 'int', 'ptr'),
  semget: bind('semget', 'int', 'int', 'int'),
  semop: bind('semop', 'int', 'ptr', 'int'),
  semtimedop: bind('semtimedop', 'int', 'ptr', 'int', 'ptr'),
  semctl: bind('semctl', 'int', 'int', 'int', 'int'),
  semctlPointer: bind('semctl', 'int', 'int', 'int', 'ptr'),
  msgget: bind('msgget', 'int', 'int'),
  msgsnd: bind('msgsnd', 'int', 'ptr', 'int', 'int'),
  msgrcv: bind('msgrcv', 'int', 'ptr', 'int', 'int', 'int'),
  msgctl: bind('msgctl', 'int', 'int', 'ptr'),
}

/**
 * `shmget(key, size, shmflg)` — the number of a shared memory, which is made where there is none.
 *
 * @param key - IPC_PRIVATE for one of its own
 * @param flags - permission bits, IPC_CREAT, IPC_EXCL, SHM_HUGETLB
 * @throws {@link SysError} `ENOENT` without IPC_CREAT; `EEXIST`; `EINVAL` smaller than asked for; `ENOSPC`
 * @see https://man7.org/linux/man-pages/man2/shmget.2.html
 */
export function shmget(key: number, sizeBytes: number, flags: number): number {
  return check(raw.shmget(u32(key, 'key'), size(sizeBytes, 'sizeBytes'), u32(flags, 'flags')), 'shmget')
}

/** What {@link shmctl_stat} says of a shared memory. */
export interface SharedMemoryInfo {
  /** Bytes. */
  shm_segsz: number
  /** How often it is attached. */
  shm_nattch: number
}

/** `struct shmid64_ds` (asm-generic/shmbuf.h): 48 bytes of permissions, then size, three times, two pids, attaches. */
const shmidSize = 112

/** `shmctl(shmid, IPC_STAT, buf)` — the size of a shared memory and how often it is attached. */
export function shmctl_stat(id: number): SharedMemoryInfo {
  const struct = new DataView(new ArrayBuffer(shmidSize))
  check(raw.shmctl(u32(id, 'id'), IPC_STAT, struct), 'shmctl')
  return {
    shm_segsz: Number(struct.getBigUint64(48, true)),
    shm_nattch: Number(struct.getBigUint64(88, true)),
  }
}

/** `shmctl(shmid, IPC_RMID, NULL)` — removes a shared memory once nobody has it attached. */
export function shmctl_rmid(id: number): void {
  check(raw.shmctl(u32(id, 'id'), IPC_RMID, null), 'shmctl')
}

/**
 * `shmat(shmid, NULL, shmflg)`, and `shmdt` at disposal — attaches a shared memory.
 *
 * @param flags - SHM_RDONLY: writing to it would end the process
 * @throws {@link SysError} `EACCES`; `EINVAL` no such memory
 * @see https://man7.org/linux/man-pages/man2/shmat.2.html
 */
export function shmat(id: number, flags = 0): Mapping {
  const SHM_REMAP = 0o40000
  if ((u32(flags, 'flags') & SHM_REMAP) !== 0)
    throw new RangeError('shmat: a fixed address is not possible here')
  const { shm_segsz } = shmctl_stat(id)
  const address = check(raw.shmat(id, 0, flags), 'shmat')
  return makeMapping(address, shm_segsz, () => void check(raw.shmdt(address), 'shmdt'))
}

/**
 * `semget(key, nsems, semflg)` — the number of a set of semaphores, which is made where there is none; see {@link shmget}.
 *
 * @see https://man7.org/linux/man-pages/man2/semget.2.html
 */
export function semget(key: number, count: number, flags: number): number {
  return check(raw.semget(u32(key, 'key'), u32(count, 'count'), u32(flags, 'flags')), 'semget')
}

/** What is done to one semaphore: `struct sembuf`. */
export interface SemaphoreOperation {
  /** Which of the set. */
  sem_num: number
  /** Added; a negative one waits until the value is large enough, 0 until it is 0. */
  sem_op: number
  /** IPC_NOWAIT, SEM_UNDO (undone when the process ends). */
  sem_flg?: number
}

function sembufs(operations: readonly SemaphoreOperation[]): Int16Array {
  const words = new Int16Array(new ArrayBuffer(6 * Math.max(operations.length, 1)))
  for (const [index, { sem_num, sem_op, sem_flg = 0 }] of operations.entries()) {
    if (Math.abs(sem_op) > 0x7fff || !Number.isInteger(sem_op)) throw new RangeError(`sem_op: ${sem_op}`)
    if (sem_num < 0 || sem_num > 0xffff || !Number.isInteger(sem_num))
      throw new RangeError(`sem_num: ${sem_num}`)
    if (sem_flg < 0 || sem_flg > 0xffff || !Number.isInteger(sem_flg))
      throw new RangeError(`sem_flg: ${sem_flg}`)
    words.set([sem_num, sem_op, sem_flg], index * 3)
  }
  return words
}

/**
 * `semop(semid, sops, nsops)` — does several operations at once, or none of them.
 *
 * Blocks: yes, without IPC_NOWAIT.
 *
 * @throws {@link SysError} `EAGAIN` it would have to wait; `EINTR`; `EIDRM` removed meanwhile
 * @see https://man7.org/linux/man-pages/man2/semop.2.html
 */
export function semop(id: number, operations: readonly SemaphoreOperation[]): void {
  check(raw.semop(u32(id, 'id'), sembufs(operations), operations.length), 'semop')
}

/** `semtimedop(semid, sops, nsops, timeout)` — {@link semop} that waits at most `timeoutNs`: `EAGAIN` then. */
export function semtimedop(
  id: number,
  operations: readonly SemaphoreOperation[],
  timeoutNs: number | bigint,
): void {
  const time = timespec(timeoutNs, 'timeoutNs')
  check(raw.semtimedop(u32(id, 'id'), sembufs(operations), operations.length, time), 'semtimedop')
}

/** `semctl(semid, semnum, GETVAL)` — a semaphore's value. */
export function semctl_getval(id: number, semaphore: number): number {
  return check(raw.semctl(u32(id, 'id'), u32(semaphore, 'semaphore'), GETVAL, 0), 'semctl')
}

/** `semctl(semid, semnum, SETVAL, val)` — sets a semaphore's value. */
export function semctl_setval(id: number, semaphore: number, value: number): void {
  check(raw.semctl(u32(id, 'id'), u32(semaphore, 'semaphore'), SETVAL, u32(value, 'value')), 'semctl')
}

/** `semctl(semid, semnum, GETPID)` — who changed a semaphore last. */
export function semctl_getpid(id: number, semaphore: number): number {
  return check(raw.semctl(u32(id, 'id'), u32(semaphore, 'semaphore'), GETPID, 0), 'semctl')
}

/** `semctl(semid, semnum, GETNCNT)` — how many wait for a semaphore to grow. */
export function semctl_getncnt(id: number, semaphore: number): number {
  return check(raw.semctl(u32(id, 'id'), u32(semaphore, 'semaphore'), GETNCNT, 0), 'semctl')
}

/** `struct semid64_ds` on x86-64 and arm64: the number of semaphores, at most 104 bytes in all. */
function semaphoreCount(id: number): number {
  const struct = new DataView(new ArrayBuffer(128))
  check(raw.semctlPointer(u32(id, 'id'), 0, IPC_STAT, struct), 'semctl')
  // x86-64 keeps two words more for its times (asm/sembuf.h).
  return Number(struct.getBigUint64(process.arch === 'x64' ? 80 : 64, true))
}

/** `semctl(semid, 0, GETALL, array)` — the values of a set. */
export function semctl_getall(id: number): number[] {
  const values = new Uint16Array(new ArrayBuffer(2 * Math.max(semaphoreCount(id), 1)))
  check(raw.semctlPointer(id, 0, GETALL, values), 'semctl')
  return [...values]
}

/**
 * `semctl(semid, 0, SETALL, array)` — sets the values of a set: as many as it has.
 *
 * @throws {@link SysError} `ERANGE` more than 32767; RangeError for another number of values, or one that is none of 16 bits
 */
export function semctl_setall(id: number, values: readonly number[]): void {
  const count = semaphoreCount(id)
  if (values.length !== count) throw new RangeError(`${values.length} values: the set has ${count}`)
  for (const value of values) {
    if (!Number.isInteger(value) || value < 0 || value > 0xffff)
      throw new RangeError(`values: not an integer of 16 bits: ${String(value)}`)
  }
  check(raw.semctlPointer(id, 0, SETALL, Uint16Array.from(values)), 'semctl')
}

/** `semctl(semid, 0, IPC_RMID)` — removes a set; who waits gets `EIDRM`. */
export function semctl_rmid(id: number): void {
  check(raw.semctl(u32(id, 'id'), 0, IPC_RMID, 0), 'semctl')
}

/**
 * `msgget(key, msgflg)` — the number of a message queue, which is made where there is none; see {@link shmget}.
 *
 * @see https://man7.org/linux/man-pages/man2/msgget.2.html
 */
export function msgget(key: number, flags: number): number {
  return check(raw.msgget(u32(key, 'key'), u32(flags, 'flags')), 'msgget')
}

/**
 * `msgsnd(msqid, msgp, msgsz, msgflg)` — puts a message into a queue.
 *
 * Blocks: while the queue is full, without IPC_NOWAIT.
 *
 * @param type - 1 or more: by it the receiver chooses
 * @throws {@link SysError} `EAGAIN` full; `EINVAL` too large, or no such type; `EIDRM`
 * @see https://man7.org/linux/man-pages/man2/msgsnd.2.html
 */
export function msgsnd(id: number, type: number, content: Uint8Array, flags = 0): void {
  // struct msgbuf: a long, then the bytes.
  const message = new Uint8Array(new ArrayBuffer(8 + bytes(content, 'content').length))
  new DataView(message.buffer).setBigInt64(0, BigInt(s64(type, 'type')), true)
  message.set(content, 8)
  check(raw.msgsnd(u32(id, 'id'), message, content.length, u32(flags, 'flags')), 'msgsnd')
}

/**
 * `msgrcv(msqid, msgp, msgsz, msgtyp, msgflg)` — takes a message out of a queue.
 *
 * Blocks: until there is one, without IPC_NOWAIT.
 *
 * @param sizeMax - room, bytes
 * @param type - 0: the first; n: the first of that type; −n: the first of the lowest type up to n
 * @param flags - IPC_NOWAIT, MSG_NOERROR (cuts a longer one), MSG_EXCEPT
 * @throws {@link SysError} `ENOMSG` there is none; `E2BIG` longer than `sizeMax`; `EIDRM`
 * @see https://man7.org/linux/man-pages/man2/msgrcv.2.html
 */
export function msgrcv(
  id: number,
  sizeMax: number,
  type = 0,
  flags = 0,
): { type: number; content: Uint8Array } {
  const message = new Uint8Array(new ArrayBuffer(8 + size(sizeMax, 'sizeMax')))
  const result = raw.msgrcv(u32(id, 'id'), message, sizeMax, s64(type, 'type'), u32(flags, 'flags'))
  const count = check(result, 'msgrcv')
  return {
    type: Number(new DataView(message.buffer).getBigInt64(0, true)),
    content: message.slice(8, 8 + count),
  }
}

/** `msgctl(msqid, IPC_RMID, NULL)` — removes a queue; who waits gets `EIDRM`. */
export function msgctl_rmid(id: number): void {
  check(raw.msgctl(u32(id, 'id'), IPC_RMID, null), 'msgctl')
}

/** `msgctl(msqid, IPC_STAT, buf)` — how many messages wait in a queue, and how many bytes. */
export function msgctl_stat(id: number): { msg_qnum: number; msg_cbytes: number } {
  // struct msqid64_ds (asm-generic/msgbuf.h): 48 bytes of permissions, three times, cbytes, qnum.
  const struct = new DataView(new ArrayBuffer(128))
  check(raw.msgctl(u32(id, 'id'), IPC_STAT, struct), 'msgctl')
  return {
    msg_cbytes: Number(struct.getBigUint64(72, true)),
    msg_qnum: Number(struct.getBigUint64(80, true)),
  }
}
