// Signals as messages: every one, realtime signals and SIGPWR too, with what the kernel knows of its sender.
import { EPOLLIN } from './generated/constants/event.ts'
import { F_SETPIPE_SZ, O_NONBLOCK } from './generated/constants/open.ts'
import { SA_ONSTACK, SA_RESTART, SA_SIGINFO, SIGKILL, SIGSTOP } from './generated/constants/signal.ts'
import { check, isSysError, SysError } from './errno.ts'
import { fcntl, type Pipe, pipe2, read } from './io.ts'
import { bind, currentArchitecture } from './raw.ts'
import { mapCode } from './raw/ffi.ts'
import { reactor } from './reactor.ts'
import { handlerCode, x64RestorerCode } from './signal/handler.ts'
import { decodeSiginfo, type Siginfo } from './signal/siginfo.ts'

export {
  rt_sigpending,
  rt_sigprocmask,
  rt_sigqueueinfo,
  rt_sigtimedwait,
  rt_tgsigqueueinfo,
} from './signal/queue.ts'
export { type Siginfo } from './signal/siginfo.ts'

const rtSigaction = bind('rt_sigaction', 'int', 'ptr', 'ptr', 'int')

/** The largest signal number on Linux (`_NSIG`). */
const SIGNAL_MAX = 64

/** Bytes of the kernel's signal set. */
const signalSetSize = 8

/** x86-64: the struct has a restorer. Not in the UAPI headers' SA_* of arm64. */
const SA_RESTORER = 0x04000000

type OnSignal = (info: Siginfo) => void

/** Bytes of `siginfo_t`. A write of up to 4096 bytes to a pipe is atomic, so records never mix. */
const siginfoSize = 128

/** One call of {@link watchSignals}; the same function may be in several. */
interface Watch {
  onSignal: OnSignal
}

const listeners = new Map<number, Set<Watch>>()
const previous = new Map<number, Uint8Array>()
let pipe: Pipe | undefined
let pipeWatch: Disposable | undefined
let restorer: number | undefined

/**
 * `rt_sigaction(signum, act, oldact, sigsetsize)` — calls `onSignal` for each delivery of one of `signals`, until the
 * result is disposed; then what the signal did before is restored. The process stays alive meanwhile.
 *
 * Several deliveries of one standard signal may come as one (the kernel keeps one pending); realtime signals are
 * all told, in order. SIGCHLD says that something happened: ask `waitid` until it has no more. The handlers are
 * installed with SA_RESTART and see the process's threads as one. Replaces `process.on` for these signals.
 *
 * On the main thread only: a handler is the whole process's, and a Worker that ends leaves its own behind.
 *
 * @throws RangeError for a number that is no signal, SIGKILL, SIGSTOP, or one of the engine's own faults; TypeError in
 * a Worker
 * @see https://man7.org/linux/man-pages/man7/signal.7.html
 *
 * @example
 * ```ts
 * import { SIGRTMIN } from '@pkg/sys/constants'
 * import { getpid, kill } from '@pkg/sys/process'
 * import { watchSignals } from '@pkg/sys/signal'
 *
 * const pid = await new Promise((resolve) => {
 *   const watch = watchSignals([SIGRTMIN + 3], (info) => {
 *     watch[Symbol.dispose]()
 *     resolve(info.pid)
 *   })
 *   kill(getpid(), SIGRTMIN + 3)
 * })
 * console.assert(pid === getpid())
 * ```
 */
export function watchSignals(signals: readonly number[], onSignal: OnSignal): Disposable {
  if (!Bun.isMainThread) throw new TypeError('watchSignals: signals can be watched on the main thread only')
  if (typeof onSignal !== 'function') throw new TypeError('onSignal must be a function')
  const watch: Watch = { onSignal }
  // The caller may change its array before disposal.
  const watched = [...signals]
  for (const signal of watched) refuseUnwatchable(signal)
  const disposable = {
    [Symbol.dispose]() {
      for (const signal of watched) forget(signal, watch)
    },
  }
  try {
    for (const signal of watched) remember(signal, watch)
  } catch (error) {
    disposable[Symbol.dispose]()
    throw error
  }
  return disposable
}

function remember(signal: number, watch: Watch): void {
  const others = listeners.get(signal)
  if (others === undefined) {
    install(signal)
    listeners.set(signal, new Set([watch]))
  } else others.add(watch)
}

/** Faults of the running code: a handler of ours would return to the faulting instruction for ever. */
const faults = new Set([4, 5, 7, 8, 11]) // SIGILL, SIGTRAP, SIGBUS, SIGFPE, SIGSEGV

function refuseUnwatchable(signal: number): void {
  const isSignal = Number.isInteger(signal) && signal >= 1 && signal <= SIGNAL_MAX
  // 32 and 33 belong to the C library's threads (nptl/internaltypes.h).
  if (!isSignal || signal === 32 || signal === 33) throw new RangeError(`not a signal to watch: ${signal}`)
  if (signal === SIGKILL || signal === SIGSTOP || faults.has(signal)) {
    throw new RangeError(`signal ${signal} cannot be watched`)
  }
}

function install(signal: number): void {
  pipe ??= openPipe()
  pipeWatch ??= reactor().watch(pipe.read, EPOLLIN, readSignals)
  const old = new Uint8Array(new ArrayBuffer(32))
  check(rtSigaction(signal, null, old, signalSetSize), 'rt_sigaction')
  const oldWords = new BigUint64Array(old.buffer)
  const oldHandler = oldWords[0] ?? 0n
  const chained = oldHandler > 1n ? Number(oldHandler) : undefined // 0 SIG_DFL, 1 SIG_IGN
  check(rtSigaction(signal, sigaction(pipe.write.fd, chained), null, signalSetSize), 'rt_sigaction')
  previous.set(signal, old)
}

/**
 * The kernel's `struct sigaction`: handler, flags, restorer, mask on x86-64 (asm/signal.h). arm64 has the same
 * layout with an unused restorer.
 */
function sigaction(pipeFd: number, chained: number | undefined): Uint8Array {
  const architecture = currentArchitecture()
  const words = new BigUint64Array(new ArrayBuffer(32))
  let flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK
  words[0] = BigInt(handlerAddress(pipeFd, chained))
  if (architecture === 'x64') {
    restorer ??= mapCode(x64RestorerCode())
    flags |= SA_RESTORER
    words[2] = BigInt(restorer)
  }
  words[1] = BigInt(flags)
  words[3] = 0xffff_ffff_ffff_ffffn // all other signals wait while the handler runs
  return new Uint8Array(words.buffer)
}

const handlerAddresses = new Map<string, number>()

/** Handlers are kept for good: one may still be running when its signal is restored. */
function handlerAddress(pipeFd: number, chained: number | undefined): number {
  const key = `${pipeFd}:${chained}`
  let address = handlerAddresses.get(key)
  if (address === undefined) {
    address = mapCode(handlerCode(currentArchitecture(), pipeFd, chained))
    handlerAddresses.set(key, address)
  }
  return address
}

function openPipe(): Pipe {
  const opened = pipe2(O_NONBLOCK)
  try {
    fcntl(opened.write, F_SETPIPE_SZ, 1 << 20) // room for 8192 signals between two turns of the loop
  } catch (error) {
    // EPERM: the user's share of pipe memory is used up; 512 signals then.
    if (!isSysError(error)) throw error
  }
  return opened
}

function forget(signal: number, watch: Watch): void {
  const set = listeners.get(signal)
  if (set === undefined || !set.delete(watch) || set.size > 0) return
  listeners.delete(signal)
  check(rtSigaction(signal, previous.get(signal) ?? null, null, signalSetSize), 'rt_sigaction')
  previous.delete(signal)
  if (listeners.size > 0) return
  pipeWatch?.[Symbol.dispose]()
  pipeWatch = undefined
  // What is still in the pipe was for listeners that are gone, not for those that come.
  while (takeSignals().length > 0);
}

const buffer = new Uint8Array(new ArrayBuffer(32 * siginfoSize))
const fields = new DataView(buffer.buffer)

function readSignals(): void {
  for (const info of takeSignals()) {
    const told = listeners.get(info.signo)
    // A copy: a listener may dispose others, which are not told then, and begin some, which this did not come for.
    for (const watch of [...(told ?? [])]) if (told?.has(watch)) callSafely(watch.onSignal, info)
  }
}

/** An exception of a listener is the program's uncaught exception; the signals after it are still told. */
function callSafely(onSignal: OnSignal, info: Siginfo): void {
  try {
    onSignal(info)
  } catch (error) {
    queueMicrotask(() => {
      throw error
    })
  }
}

/** Up to 32 records from the pipe, taken out before any listener runs: one may dispose or watch. */
function takeSignals(): Siginfo[] {
  if (pipe === undefined) return []
  let size: number
  try {
    size = read(pipe.read, buffer)
  } catch (error) {
    if (error instanceof SysError && error.code === 'EAGAIN') return []
    throw error
  }
  const infos: Siginfo[] = []
  for (let at = 0; at + siginfoSize <= size; at += siginfoSize) infos.push(decodeSiginfo(fields, at))
  return infos
}
