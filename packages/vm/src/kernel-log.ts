/**
 * What a Linux kernel in trouble says on its console: panics, lock-ups, and the end of the memory. Pure text work,
 * the same for every backend whose guest has a kernel of its own.
 */
import type { GuestConsole } from './console.ts'
import { GuestPanicError, VmError } from './errors.ts'
import type { ProcessEnd } from './machine.ts'

/** `panic`: the kernel gave up; `lockup`: a CPU no longer schedules; `oom`: a process was killed for memory. */
export type KernelTroubleKind = 'panic' | 'lockup' | 'oom'

/** One line in which the kernel tells of trouble. */
export interface KernelTrouble {
  /** What it tells of. */
  kind: KernelTroubleKind
  /** The kernel's words: of a panic what follows `Kernel panic - not syncing: `, else the line without its stamp. */
  message: string
  /** Where the line begins, in characters from the first one that was looked at. */
  position: number
}

/** Which troubles, besides a panic, end a guest. */
export interface FailOn {
  /** Soft and hard lock-ups, and stalls of RCU. They need the kernel's detectors: 20 s of hang by default. */
  lockup?: boolean
  /** A process killed because the whole guest had no memory left; not one that a cgroup's limit killed. */
  oom?: boolean
}

/** The guest's kernel found one of its CPUs hung. */
export class GuestLockupError extends VmError {
  override name = 'GuestLockupError'
  /** The kernel's line, such as `watchdog: BUG: soft lockup - CPU#0 stuck for 22s! [insmod:75]`. */
  readonly lockup: string

  constructor(lockup: string, consoleTail: string) {
    super(`the guest's kernel is locked up: ${lockup}`, consoleTail)
    this.lockup = lockup
  }
}

/** The guest had no memory left, and its kernel killed a process for it. */
export class GuestOutOfMemoryError extends VmError {
  override name = 'GuestOutOfMemoryError'
  /** The kernel's line, such as `Out of memory: Killed process 80 (stress) total-vm:…`. */
  readonly victim: string

  constructor(victim: string, consoleTail: string) {
    super(`the guest ran out of memory (give it more): ${victim}`, consoleTail)
    this.victim = victim
  }
}

/**
 * The kernel's own lines begin a line of the console, or follow a time stamp (with CONFIG_PRINTK_CALLER a task or CPU
 * too): a program that prints the same words in a line of its own log does not match.
 */
const START = String.raw`(?:^|\[ *\d+\.\d+\](?:\[ *[TC]\d+\])? )`

/** Each kind's lines in Linux 4.19 to 6.12; group 1 is the message. */
const LINES: readonly [KernelTroubleKind, RegExp][] = [
  // kernel/panic.c
  ['panic', new RegExp(`${START}Kernel panic - not syncing(?:: (.*))?$`)],
  // kernel/watchdog.c, kernel/watchdog_hld.c
  [
    'lockup',
    new RegExp(`${START}(watchdog: BUG: soft lockup .*|(?:NMI )?watchdog: Watchdog detected hard LOCKUP.*)$`),
  ],
  // kernel/rcu/tree_stall.h, kernel/rcu/tree_exp.h
  [
    'lockup',
    new RegExp(
      `${START}(rcu: INFO: \\S+ (?:self-detected stall|detected stalls|detected expedited stalls) .*)$`,
    ),
  ],
  // mm/oom_kill.c; that of a cgroup's limit begins with `Memory cgroup out of memory`.
  ['oom', new RegExp(`${START}(Out of memory(?: \\(oom_kill_allocating_task\\))?: Killed process .*)$`)],
]

/** A line of the kernel's is at most 1 KiB long (LOG_LINE_MAX); what is longer is somebody else's. */
const LINE_CHARS_MAX = 2_048

/** What went on just before is often why. */
const LINES_BEFORE = 5

/**
 * Every trouble in `text`, in its order. Lines end in `\n`.
 *
 * @example
 * ```ts
 * import { kernelTroubles } from '@pkg/vm/kernel-log'
 *
 * const [trouble] = kernelTroubles('[    1.204011] Kernel panic - not syncing: No working init found.\n')
 * if (trouble?.message !== 'No working init found.') throw new Error('not found')
 * ```
 */
export function kernelTroubles(text: string): KernelTrouble[] {
  return new KernelLog().receive(`${text}\n`)
}

/** Looks through a console's text as it comes: each line once, when it is complete. */
export class KernelLog {
  #partial = ''
  #partialChars = 0
  #lineStart = 0

  /** Takes the next piece of text, as `GuestConsole.append` gives it, and gives the troubles that it completes. */
  receive(text: string): KernelTrouble[] {
    const found: KernelTrouble[] = []
    const parts = text.split('\n')
    const rest = parts.pop() ?? ''
    for (const part of parts) {
      const trouble = troubleOf(this.#partial + part)
      if (trouble) found.push({ ...trouble, position: this.#lineStart })
      this.#lineStart += this.#partialChars + part.length + 1
      this.#partial = ''
      this.#partialChars = 0
    }
    this.#partialChars += rest.length
    // Of a flood without line ends just enough is kept to see that it is no line of the kernel's.
    this.#partial = (this.#partial + rest).slice(0, LINE_CHARS_MAX + 1)
    return found
  }

  /** The guest has ended: what it was printing last counts as a line too. */
  finish(): KernelTrouble[] {
    return this.receive('\n')
  }
}

function troubleOf(line: string): Omit<KernelTrouble, 'position'> | undefined {
  if (line.length > LINE_CHARS_MAX) return undefined
  for (const [kind, pattern] of LINES) {
    const match = pattern.exec(line)
    if (match) return { kind, message: match[1] ?? '' }
  }
  return undefined
}

/**
 * How PID 1 ended, when that is what the kernel panicked for: `Attempted to kill init! exitcode=0x00000300` carries
 * the status as wait(2) has it (kernel/exit.c).
 */
export function initEnd(panic: string): ProcessEnd | undefined {
  const match = /^Attempted to kill init! exitcode=0x([0-9a-f]+)/.exec(panic)
  if (!match) return undefined
  const status = Number.parseInt(match[1] ?? '', 16)
  const signal = status & 0x7f
  return signal === 0 ? { code: (status >> 8) & 0xff, signal: null } : { code: null, signal }
}

/** The error for a trouble, with what the console said from just before it on, however long the trace is. */
export function troubleError(
  { kind, message, position }: KernelTrouble,
  guestConsole: GuestConsole,
): VmError {
  const tail = guestConsole.tail()
  const start = Math.max(0, position - guestConsole.droppedChars)
  const lineCount = guestConsole.text.slice(start).split('\n').length + LINES_BEFORE
  const fromTrouble = guestConsole.tail(lineCount)
  const shown = fromTrouble.length > tail.length ? fromTrouble : tail
  if (kind === 'panic') return new GuestPanicError(message, shown)
  return kind === 'lockup' ? new GuestLockupError(message, shown) : new GuestOutOfMemoryError(message, shown)
}
