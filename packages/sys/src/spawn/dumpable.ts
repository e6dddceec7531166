// Whether this process is "dumpable" belongs to its memory, and a child that shares the memory changes it with its user.
import {
  MAP_FIXED_NOREPLACE,
  MAP_PRIVATE,
  MFD_CLOEXEC,
  PROT_READ,
  PROT_WRITE,
} from '../generated/constants/memory.ts'
import { AT_FDCWD, O_RDONLY } from '../generated/constants/open.ts'
import { PR_GET_DUMPABLE, PR_SET_DUMPABLE } from '../generated/constants/prctl.ts'
import { isError } from '../errno.ts'
import { bind, syscall } from '../raw.ts'
import { cString } from '../raw/arguments.ts'
import { memoryAt } from '../raw/ffi.ts'

const prctl = bind('prctl', 'int', 'int', 'int', 'int', 'int')

/**
 * Says that a child is about to share our memory.
 *
 * A change of user takes "dumpable" from the memory, which until the exec is ours too (kernel/cred.c, commit_creds): our
 * /proc files would belong to root, and we could not be traced or leave a core. What it was is known only while no child
 * of any thread is in the memory: the first one's thread writes it down for all.
 */
export function beginSharing(): void {
  const word = state()
  for (;;) {
    const old = Atomics.load(word, 0)
    const isFirst = (old & countMask) === 0
    const next = isFirst ? (old & ~lowMask) | one | (isDumpable() ? 1 : 0) : old + one
    if (Atomics.compareExchange(word, 0, old, next) === old) return
  }
}

/** Says that a child has left our memory, and gives back what it has taken. */
export function endSharing(): void {
  const word = state()
  if ((Atomics.load(word, 0) & 1) !== 0 && !isDumpable()) prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)
  for (;;) {
    const old = Atomics.load(word, 0)
    const isLast = (old & countMask) === one
    const next = isLast ? ((old & ~lowMask) + lowMask + 1) | 0 : old - one
    if (Atomics.compareExchange(word, 0, old, next) === old) return
  }
}

function isDumpable(): boolean {
  return prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) === 1
}

// The word: whether the memory was dumpable, how many children are in it (15 bits), and how often there were none (16
// bits): a thread that has slept since it looked must not write down what it saw then.
const one = 2
const countMask = 0xfffe
const lowMask = 0xffff

let known: Int32Array | undefined

/** The word that all threads share; one of this thread's where that cannot be had. */
function state(): Int32Array {
  known ??= new Int32Array(sharedMemory() ?? new ArrayBuffer(4), 0, 1)
  return known
}

const sizeBytes = 4096
const fileName = 'solo-children'

/** Where nothing else is mapped: far above a program and its heap, far below what the kernel places. Within 39 bits. */
const places = [0x50_1000_0000, 0x58_1000_0000, 0x60_1000_0000]

/**
 * A page that all Workers find: they have no memory in common that JavaScript knows of. The kernel lets one of them map
 * it at the place, and tells the others by the name of its file that it is ours.
 */
function sharedMemory(): ArrayBuffer | undefined {
  const file = syscall('memfd_create', cString(fileName), MFD_CLOEXEC)
  if (isError(file)) return undefined
  try {
    if (isError(syscall('ftruncate', file, sizeBytes))) return undefined
    const flags = MAP_PRIVATE | MAP_FIXED_NOREPLACE
    for (const place of places) {
      const address = syscall('mmap', place, sizeBytes, PROT_READ | PROT_WRITE, flags, file, 0)
      if (address === place) return memoryAt(place, sizeBytes)
      // Before Linux 4.17 the place is only a wish.
      if (!isError(address)) syscall('munmap', address, sizeBytes)
      if (isOurs(place)) return memoryAt(place, sizeBytes)
    }
    return undefined
  } finally {
    syscall('close', file)
  }
}

function isOurs(place: number): boolean {
  return readMaps()
    .split('\n')
    .some((line) => line.startsWith(`${place.toString(16)}-`) && line.includes(`/memfd:${fileName} `))
}

function readMaps(): string {
  const file = syscall('openat', AT_FDCWD, cString('/proc/self/maps'), O_RDONLY, 0)
  if (isError(file)) return ''
  try {
    const [decoder, buffer] = [new TextDecoder(), new Uint8Array(65_536)]
    let text = ''
    for (;;) {
      const count = syscall('read', file, buffer, buffer.length)
      if (count <= 0) return text
      text += decoder.decode(buffer.subarray(0, count), { stream: true })
    }
  } finally {
    syscall('close', file)
  }
}
