// The engine waits for us: the epoll instance of the reactor is put into that of the engine's loop, and a hook of the
// loop (raw/turns.ts) calls us after each wait. No call is made to arm or to acknowledge anything, so that a wake-up
// costs one epoll_pwait more than in C.
import { EEXIST } from '../generated/constants/errno.ts'
import { EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLLIN } from '../generated/constants/event.ts'
import { AF_UNIX, SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_STREAM } from '../generated/constants/socket.ts'
import { check, isError } from '../errno.ts'
import { syscall } from '../raw.ts'
import { hasTurns, onTurns, type TurnHook } from '../raw/turns.ts'
import type { Waker } from './waker.ts'

/** {@link Waker} by the engine's own loop. */
export class LoopWaker implements Waker {
  readonly kind = 'loop'
  readonly #loopFd: number
  readonly #epollFd: number
  readonly #onWake: () => void
  #hook: TurnHook | undefined
  #started = false

  /** Opens one, or returns undefined where the loop or its hook cannot be had. */
  static open(epollFd: number, onWake: () => void): LoopWaker | undefined {
    const loopFd = hasTurns() ? engineEpollFd() : undefined
    if (loopFd === undefined) return undefined
    const waker = new LoopWaker(loopFd, epollFd, onWake)
    return isError(waker.#enter()) ? undefined : waker
  }

  private constructor(loopFd: number, epollFd: number, onWake: () => void) {
    this.#loopFd = loopFd
    this.#epollFd = epollFd
    this.#onWake = onWake
  }

  start(): void {
    this.#started = true
    if (this.#hook === undefined) check(this.#enter(), 'epoll_ctl')
    this.#hook?.ref()
  }

  stop(): void {
    this.#started = false
    // Whoever waits for one thing after another starts again before the next turn, which is then for nothing.
    this.#hook?.unref()
  }

  [Symbol.dispose](): void {
    this.#started = false
    this.#leave()
  }

  /** Puts the epoll instance into the loop's; returns the kernel's number. */
  #enter(): number {
    // The data stays 0. The engine's are addresses, and an event without one is left alone: so its loop passes over
    // events of what it has freed meanwhile (Bun's epoll_kqueue.c: "Any ready poll marked with nullptr will be ignored").
    const event = new Uint32Array(new ArrayBuffer(16))
    event[0] = EPOLLIN
    const result = syscall('epoll_ctl', this.#loopFd, EPOLL_CTL_ADD, this.#epollFd, event)
    if (!isError(result)) this.#hook = onTurns(() => this.#turned())
    return result
  }

  #leave(): void {
    if (this.#hook === undefined) return
    this.#hook.end()
    this.#hook = undefined
    syscall('epoll_ctl', this.#loopFd, EPOLL_CTL_DEL, this.#epollFd, null)
  }

  #turned(): void {
    if (this.#started) this.#onWake()
    // Nobody would take an event now, and the loop would find it again in each turn.
    else this.#leave()
  }
}

let engineFd: number | undefined

/** The epoll descriptor of the engine's loop, looked for until it is found. */
function engineEpollFd(): number | undefined {
  engineFd ??= findEngineEpoll()
  return engineFd
}

/**
 * Where to look. The engine opens its epoll instance before any script runs, so that its number is low, unless the
 * process was started with many descriptors.
 */
const fdsLookedAt = 1024

/** Finds the epoll instance that already has a socket which was just handed to the engine. */
function findEngineEpoll(): number | undefined {
  const pair = new Int32Array(new ArrayBuffer(8))
  // Without descriptors it is not found now, and looked for again.
  if (isError(syscall('socketpair', AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair)))
    return undefined
  const [theirs, ours] = pair as unknown as [number, number]
  // From here on `theirs` is the engine's, which closes it with the socket.
  let socket: { terminate(): void } | undefined
  const options: Bun.FdSocketOptions = {
    fd: theirs,
    socket: { open: (opened) => void (socket = opened), data: () => {} },
  }
  // Bun's types describe these options and give connect no overload that takes them.
  void Bun.connect(options as unknown as Bun.UnixSocketOptions)
  // Without events: another epoll instance, which does not have the socket yet, is told nothing before it is taken out.
  const event = new Uint32Array(new ArrayBuffer(16))
  let fd = 0
  for (; fd < fdsLookedAt; fd++) {
    const result = syscall('epoll_ctl', fd, EPOLL_CTL_ADD, theirs, event)
    if (result === -EEXIST) break
    if (result === 0) syscall('epoll_ctl', fd, EPOLL_CTL_DEL, theirs, null)
  }
  socket?.terminate()
  syscall('close', ours)
  return fd < fdsLookedAt && socket !== undefined ? fd : undefined
}
