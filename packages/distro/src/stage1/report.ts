// What stage 1 says, and what it does when it cannot go on: one line for the kernel's log, a pause, a reboot.
import { LINUX_REBOOT_CMD_RESTART, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2 } from '@pkg/sys/constants'
import { errnoName } from '@pkg/sys/errno'
import type { Address, Label, Memory, Operand, Program, Step, Text, Word } from '@pkg/sys/program'
import type { SyscallName } from '@pkg/sys/raw'

/** What a line is made of: constants, strings at an address, and words that are such an address. */
export type Piece = string | Address | Word

/**
 * Priority "critical" (syslog(2)): on the console even with `quiet`, which shows "error" and worse. The kernel's log
 * takes one line a write, and ends it at the first NUL (kernel/printk/printk.c, `devkmsg_write`).
 */
const LINE_BEGIN = '<2>solo stage 1: '

/** Longer lines are cut; the kernel takes about 1000 bytes. */
const lineSizeBytes = 400

/** The largest errno that has a name in the kernel's headers (EHWPOISON). */
const errnoMax = 133

/** All names of errors have at most 15 characters (EPROTONOSUPPORT). */
const nameSizeBytes = 16
const nameSizeBits = 4

/** Steps that must succeed, and what is said when one does not. */
export class Report {
  readonly #program: Program
  /** Where lines go: the kernel's log, or the console when that cannot be opened. */
  readonly #log: Memory
  readonly #line: Text
  /** The address of what is being done. */
  readonly #doing: Memory
  /** The address of an error's name, by {@link Report.errorName}. */
  readonly #name: Memory
  /** The address of the name of error 0; those of others come before it, so that −errno counts. */
  readonly #names: Memory
  readonly #rebootDelayMs: number
  /** Where a step leads that had to succeed. */
  readonly #fatal: Label
  /** Where everything ends that does not become PID 1. */
  readonly #reboot: Label

  /** @param rebootDelayMs - between the last line and the reboot: time to read it */
  constructor(program: Program, rebootDelayMs: number) {
    this.#program = program
    this.#rebootDelayMs = rebootDelayMs
    this.#reboot = program.label('reboot')
    const standardError = 2
    this.#log = program.memory(8)
    this.#line = program.text(program.memory(lineSizeBytes))
    this.#doing = program.words(['begin'])
    this.#name = program.memory(8)
    this.#names = program.memory(errorNames())
    this.#fatal = program.label('fatal')
    program.set(this.#log, standardError)
  }

  /** From here on lines go to this descriptor. */
  writeTo(log: Step): void {
    this.#program.set(this.#log, log)
  }

  /** A call that must succeed; else `words` say what could not be done, and the machine reboots. */
  must(words: string, name: SyscallName, ...operands: Operand[]): Step {
    this.#program.set(this.#doing, words)
    return this.#program.call(name, ...operands).otherwise(this.#fatal)
  }

  /** Says a line. */
  say(...pieces: Piece[]): void {
    const { begin } = this.#line
    this.#program.clear(this.#line)
    this.#program.append(this.#line, LINE_BEGIN, ...pieces)
    this.#program.call('write', this.#log.word(), begin, lineSizeBytes).ignoreErrors()
  }

  /** The name of the last error, `EIO`: to be used before it is asked for the next one. */
  errorName(): Word {
    const program = this.#program
    const name = this.#name
    const [unknown, known] = [program.label('unknown error'), program.label('known error')]
    const error = program.lastError()
    // As unsigned numbers −1 is the largest.
    program.below(-errnoMax - 1, error).otherwise(unknown)
    program.set(name, error, this.#names.at(errnoMax * nameSizeBytes), nameSizeBits)
    program.jump(known)
    program.place(unknown)
    program.set(name, 'an unknown error')
    program.place(known)
    return name.word()
  }

  /** Says a last line, and reboots. */
  giveUp(...pieces: Piece[]): void {
    this.say(...pieces, `; rebooting in ${this.#rebootDelayMs / 1000} s`)
    this.#program.jump(this.#reboot)
  }

  /** The end of the program: what happens when a step failed. The reboot lets the loader's counter of tries go on. */
  finish(): void {
    const program = this.#program
    program.place(this.#fatal)
    this.giveUp('cannot ', this.#doing.word(), ': ', this.errorName())
    program.place(this.#reboot)
    program.sleep(this.#rebootDelayMs)
    const [magic1, magic2] = [LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2]
    program.call('reboot', magic1, magic2, LINUX_REBOOT_CMD_RESTART, null).ignoreErrors()
    // As good as a reboot: the kernel panics when its init ends, and `panic=10` on its command line reboots.
    program.call('exit_group', 1)
  }
}

/** Names of 16 bytes each, the largest error's first. */
function errorNames(): Uint8Array {
  const names = new Uint8Array((errnoMax + 1) * nameSizeBytes)
  for (let errno = 0; errno <= errnoMax; errno++) {
    const name = errno === 0 ? 'no error' : errnoName(errno)
    names.set(new TextEncoder().encode(name), (errnoMax - errno) * nameSizeBytes)
  }
  return names
}
