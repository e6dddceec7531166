/**
 * A list of system calls that prepares something for a guest and tells what went wrong: in words through a descriptor,
 * and with the error's number in the exit status.
 */
import type { SyscallName } from '@pkg/sys/raw'
import { type Label, type Operand, Program, type Step } from '@pkg/sys/program'
import { AT_FDCWD, AT_RECURSIVE, O_CLOEXEC, O_CREAT, O_WRONLY } from '@pkg/sys/constants'
import { MOUNT_ATTR_RDONLY, MOVE_MOUNT_F_EMPTY_PATH, MOVE_MOUNT_T_SYMLINKS } from '@pkg/sys/constants'
import { AT_EMPTY_PATH, OPEN_TREE_CLOEXEC, OPEN_TREE_CLONE } from '@pkg/sys/constants'

/** What a message of a failed setup begins with. */
export const FAILED = 'failed: '

/** `struct mount_attr` (include/uapi/linux/mount.h): attr_set, attr_clr, propagation, userns_fd; 64 bits each. */
const READ_ONLY = new Uint8Array(BigUint64Array.of(BigInt(MOUNT_ATTR_RDONLY), 0n, 0n, 0n).buffer)

/** Builds the program; call {@link SetupProgram.finish} when every step is there. */
export class SetupProgram {
  readonly #program = new Program()
  readonly #reportFd: number
  readonly #failures: { words: string; label: Label; step: Step }[] = []

  /** @param reportFd - where the words of a failure go */
  constructor(reportFd: number) {
    this.#reportFd = reportFd
  }

  /** A call that must succeed; `words` say what could not be done when it fails. */
  must(words: string, name: SyscallName, ...operands: Operand[]): Step {
    const label = this.#program.label()
    const step = this.#program.call(name, ...operands).otherwise(label)
    this.#failures.push({ words, label, step })
    return step
  }

  /** A call that may fail. */
  may(name: SyscallName, ...operands: Operand[]): Step {
    return this.#program.call(name, ...operands).ignoreErrors()
  }

  /** Goes on at the label's place when the call fails. */
  orElse(label: Label, name: SyscallName, ...operands: Operand[]): Step {
    return this.#program.call(name, ...operands).otherwise(label)
  }

  /** A place that {@link SetupProgram.orElse} and {@link SetupProgram.goto} lead to, once it is placed. */
  label(): Label {
    return this.#program.label()
  }

  /** Puts `label` here. */
  place(label: Label): void {
    this.#program.place(label)
  }

  /** Goes on at `label`, always. */
  goto(label: Label): void {
    this.#program.jump(label)
  }

  /** Writes `text`, all of it (it is short). */
  say(fd: number, text: string): Step {
    return this.must('write', 'write', fd, text, new TextEncoder().encode(text).length)
  }

  /** Makes the folder `path` (absolute) and those above it, where they are missing. */
  folder(path: string): void {
    const names = path.split('/').filter((name) => name !== '')
    for (const [index] of names.entries())
      this.may('mkdirat', AT_FDCWD, `/${names.slice(0, index + 1).join('/')}`, 0o755)
  }

  /** Makes the empty file `path`, for a file to be mounted on. */
  file(path: string): void {
    const made = this.may('openat', AT_FDCWD, path, O_CREAT | O_WRONLY | O_CLOEXEC, 0o644)
    this.may('close', made)
  }

  /** Takes hold of the mounts at and below `path`, as they are now. */
  grab(words: string, path: string): Step {
    return this.must(words, 'open_tree', AT_FDCWD, path, OPEN_TREE_CLONE | AT_RECURSIVE | OPEN_TREE_CLOEXEC)
  }

  /** Mounts what {@link SetupProgram.grab} took at `path`. */
  attach(words: string, tree: Step, path: string, writable: boolean): void {
    if (!writable) {
      const flags = AT_EMPTY_PATH | AT_RECURSIVE
      this.must(`${words} read-only`, 'mount_setattr', tree, '', flags, READ_ONLY, READ_ONLY.length)
    }
    const flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_SYMLINKS
    this.must(words, 'move_mount', tree, '', AT_FDCWD, path, flags)
    this.may('close', tree)
  }

  /** The program with what it does on a failure: says the words, and exits with 256 − errno. */
  finish(): Program {
    this.#program.call('exit_group', 0)
    for (const { words, label, step } of this.#failures) {
      this.#program.place(label)
      const text = `${FAILED}${words}\n`
      this.#program.call('write', this.#reportFd, text, new TextEncoder().encode(text).length).ignoreErrors()
      // The result is −errno, and an exit status has eight bits.
      this.#program.call('exit_group', step)
    }
    return this.#program
  }
}

/** The errno that the exit status of a failed setup carries. */
export function setupErrno(exitStatus: number): number {
  return 256 - exitStatus
}
