// Programs of system calls run in a process that is borrowed for them: in other namespaces, as other users, with the
// results in this process.
import { CLONE_FILES } from './generated/constants/process.ts'
import { CLD_EXITED } from './generated/constants/signal.ts'
import { errnoNumber, SysError } from './errno.ts'
import { type Memory, Program, type Step } from './program.ts'
import { explainCall } from './program/explain.ts'
import { cloneChild, namespaceFlags, reap } from './spawn/clone.ts'

/** What the borrowed process is. */
export interface RunProgramOptions {
  /** CLONE_NEWUSER, CLONE_NEWNET …: namespaces that it is born in. Those that exist it enters by `setns` steps. */
  namespaces?: number
  /** Its descriptors are this process's: what it opens stays open here, what it closes is closed. Default: false. */
  sharesDescriptors?: boolean
}

/** What a program left. */
export interface ProgramRun {
  /** What a step returned: −errno where it failed and the program went on; 0 where it was not reached. */
  result(step: Step): number
  /** What lies in a memory of the program. */
  contents(memory: Memory): Uint8Array
}

/**
 * `clone3(cl_args, size)` — runs a program in a child of its own that shares this process's memory, and returns when it
 * has ended: calls that change a thread for good (`setns`, `unshare`, `setresuid`) change a thread that is gone then.
 *
 * Blocks this thread for as long as the program runs: no step may wait for what this thread does. All signals but
 * SIGKILL and SIGSTOP are blocked in it. The program must not unmap or overwrite memory but its own.
 *
 * @throws {@link SysError} of the step that ended the program: `runProgram: step 3, setns(5, CLONE_NEWNET): EPERM …`; `EINTR` it was killed
 *
 * @example
 * ```ts
 * import { AT_FDCWD, CLONE_NEWUSER, CLONE_NEWUTS, O_RDONLY } from '@pkg/sys/constants'
 * import { Program } from '@pkg/sys/program'
 * import { runProgram } from '@pkg/sys/run-program'
 *
 * const program = new Program()
 * program.call('sethostname', 'elsewhere', 9)
 * const file = program.call('openat', AT_FDCWD, '/proc/sys/kernel/hostname', O_RDONLY, 0)
 * const name = program.memory(64)
 * const length = program.call('read', file, name, 64)
 * const run = runProgram(program, { namespaces: CLONE_NEWUSER | CLONE_NEWUTS })
 * console.assert(new TextDecoder().decode(run.contents(name).subarray(0, run.result(length))) === 'elsewhere\n')
 * ```
 */
export function runProgram(program: Program, options: RunProgramOptions = {}): ProgramRun {
  if (!(program instanceof Program)) throw new TypeError('runProgram: not a Program')
  const { namespaces = 0, sharesDescriptors = false } = options
  const cloned = cloneChild({
    caller: 'runProgram',
    program: () => program,
    flags: namespaceFlags(namespaces, 'runProgram') | (sharesDescriptors ? CLONE_FILES : 0),
  })
  // The next child overwrites the memory that this one ran in.
  const compiled = cloned.compiled.slice()
  const status = reap(cloned.pidfd)
  const failure = program.failure(compiled)
  if (failure !== undefined) {
    const attempt = `step ${failure.step.index}, ${explainCall(failure.step)}`
    throw new SysError({ errno: failure.errno, syscall: 'runProgram', attempt })
  }
  if (status !== null && status.code !== CLD_EXITED) {
    const attempt = `ended by signal ${status.status}`
    throw new SysError({ errno: errnoNumber('EINTR'), syscall: 'runProgram', attempt })
  }
  const results = program.results(compiled)
  return {
    result(step) {
      if (program.steps[step.index] !== step) throw new TypeError(`${step.name} is a step of another program`)
      return results[step.index] ?? 0
    },
    contents: (memory) => program.contents(compiled, memory),
  }
}
