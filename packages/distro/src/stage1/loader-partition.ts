// Which partition the boot loader came from: systemd-boot says so in a variable of the firmware, as text. Of two equal
// disks in a machine, the one with this partition is the machine's own.
import {
  AT_FDCWD,
  MS_NODEV,
  MS_NOEXEC,
  MS_NOSUID,
  MS_RDONLY,
  O_CLOEXEC,
  O_NONBLOCK,
  O_RDONLY,
} from '@pkg/sys/constants'
import type { Label, Memory, Program } from '@pkg/sys/program'

/** Where the kernel offers the firmware's variables. */
const EFIVARS = '/sys/firmware/efi/efivars'

/** @see https://systemd.io/BOOT_LOADER_INTERFACE/ */
const VARIABLE = `${EFIVARS}/LoaderDevicePartUUID-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f`

/** Four bytes of attributes come first (Documentation/filesystems/efivarfs.rst), then text in UTF-16. */
const textOffset = 4
const textSizeBytes = 36 * 2

const guidSizeBytes = 16

/** The order of a GUID's bytes in its text (UEFI specification, appendix A): the first three numbers the other way round. */
const textOrder = [3, 2, 1, 0, 5, 4, 7, 6]

/** The GUID of the partition that the loader came from. */
export class LoaderPartition {
  /** 16 bytes as in a partition table; zeros when nobody told. */
  readonly guid: Memory
  readonly #program: Program

  /**
   * Adds the steps that find it out. A machine without UEFI, or without that loader, has no such variable.
   *
   * @param variable - path of the variable; for tests
   */
  constructor(program: Program, variable: string = VARIABLE) {
    this.#program = program
    this.guid = program.memory(guidSizeBytes)
    const done = program.label('no loader told')
    const flags = MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC
    // Where it cannot be mounted the variable is not found either.
    program.call('mount', 'efivarfs', EFIVARS, 'efivarfs', flags, null).ignoreErrors()
    const file = program.call('openat', AT_FDCWD, variable, O_RDONLY | O_CLOEXEC).otherwise(done)
    this.#read(file, done)
    program.place(done)
    // PID 1 mounts it again, to write too.
    program.call('umount2', EFIVARS, 0).ignoreErrors()
  }

  /** Leads to `label` when nobody told. */
  orElse(label: Label): void {
    this.#program.below(0, this.guid.word(0)).otherwise(label)
  }

  /**
   * Reads the text and makes bytes of it. The interpreter cannot read a byte at an address, but the kernel can: the text
   * goes through a pipe, a character at a time, and so do the bytes.
   */
  #read(file: ReturnType<Program['call']>, fail: Label): void {
    const program = this.#program
    const [text, pipe, iovec] = [
      program.memory(textOffset + textSizeBytes),
      program.memory(16),
      this.#scatter(),
    ]
    const size = program.call('read', file, text, text.sizeBytes).ignoreErrors()
    program.call('close', file).ignoreErrors()
    // An error passes as a large number; the text then is zeros, which are no GUID either.
    program.below(text.sizeBytes - 1, size).otherwise(fail)
    // Two numbers of 32 bits; a descriptor is the low half of what a system call is given. Nothing waits: a text that is
    // no GUID leaves the pipe empty too early.
    program.call('pipe2', pipe, O_NONBLOCK | O_CLOEXEC).otherwise(fail)
    const [from, to] = [pipe.word(0), pipe.word(4)]
    program.call('write', to, text.at(textOffset), textSizeBytes).otherwise(fail)
    this.#decode(from, to, fail)
    program.call('readv', from, iovec, iovec.sizeBytes / 16).otherwise(fail)
    program.call('close', from).ignoreErrors()
    program.call('close', to).ignoreErrors()
  }

  /** Takes 36 characters out of the pipe, and puts the bytes in that they stand for. */
  #decode(from: ReturnType<Memory['word']>, to: ReturnType<Memory['word']>, fail: Label): void {
    const program = this.#program
    const [unit, byte, count] = [program.memory(8), program.memory(8), program.memory(8)]
    const [next, whole, letter, small, add] = ['next', 'whole', 'letter', 'small', 'add'].map((name) =>
      program.label(name),
    ) as [Label, Label, Label, Label, Label]
    // A one before the first digit: with two digits behind it, it is no longer in the low byte.
    program.set(byte, 1)
    program.place(next)
    program.set(unit, 0)
    program.call('read', from, unit, 2).otherwise(fail)
    // Dashes come before digits in Unicode.
    program.below(0x2f, unit.word()).otherwise(next)
    program.below(unit.word(), 0x3a).otherwise(letter)
    program.set(unit, unit.word(), -0x30)
    program.jump(add)
    program.place(letter)
    program.below(unit.word(), 0x47).otherwise(small)
    program.set(unit, unit.word(), -0x37)
    program.jump(add)
    program.place(small)
    program.set(unit, unit.word(), -0x57)
    program.place(add)
    program.set(byte, byte.word(), unit.word(), 4)
    program.below(0xff, byte.word()).otherwise(next)
    program.call('write', to, byte, 1).otherwise(fail)
    program.set(byte, 1)
    program.set(count, count.word(), 1)
    program.below(count.word(), guidSizeBytes).otherwise(whole)
    program.jump(next)
    program.place(whole)
  }

  /** `struct iovec` for each byte that the text has in another place, and one for the rest. */
  #scatter(): Memory {
    const single = textOrder.flatMap((place) => [this.guid.at(place), 1])
    const rest = textOrder.length
    return this.#program.words([...single, this.guid.at(rest), guidSizeBytes - rest])
  }
}
