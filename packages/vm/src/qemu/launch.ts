/**
 * Starts a program so that it cannot outlive us: the kernel kills it when the thread that started it
 * ends, however that ends (SIGKILL too).
 */
import { spawn, type ChildProcess } from 'node:child_process'
import type { Duplex, Readable, Writable } from 'node:stream'
import { QemuMissingError, VmError } from '../errors.ts'
import { deferred } from '../host/deferred.ts'
import { findProgram } from '../host/find-program.ts'

/** A started QEMU with its streams. */
export interface Launched {
  process: ChildProcess
  pid: number
  stdin: Writable
  stdout: Readable
  stderr: Readable
  /** Our ends of the sockets at the program's file descriptors from 3 on. */
  sockets: Duplex[]
}

/**
 * setpriv asks for the signal and executes the shell; if our process died before that, nobody would send
 * it, so the shell looks whether its parent is still us, and becomes QEMU. One process, QEMU's own pid.
 *
 * @see https://man7.org/linux/man-pages/man2/PR_SET_PDEATHSIG.2const.html
 */
const GUARD = '[ "$PPID" = "$1" ] || exit 70; shift; exec "$@"'

/** A command that ends with us. */
export interface GuardedCommand {
  file: string
  args: string[]
}

/**
 * The command that becomes `program` with `args`, under the guard. It must be started by this process.
 *
 * @throws {@link QemuMissingError}, {@link VmError} `setpriv` is missing
 */
export function guarded(program: string, args: readonly string[]): GuardedCommand {
  const found = findProgram(program)
  if (found === undefined) throw new QemuMissingError(program)
  const setpriv = findProgram('setpriv')
  if (setpriv === undefined)
    throw new VmError('setpriv was not found in PATH: install util-linux (apt install util-linux)')
  const shell = ['/bin/sh', '-c', GUARD, 'solo-vm', String(process.pid), found, ...args]
  return { file: setpriv, args: ['--pdeathsig', 'KILL', '--', ...shell] }
}

/** What a program inherits besides its standard streams. */
export interface Inherited {
  /** How many sockets, from file descriptor 3 on. */
  socketCount: number
  /** An open file, at the descriptor after the last socket. */
  file?: number
}

/**
 * Starts `program` in a session of its own: Ctrl-C at our terminal is then for us alone, and the guest
 * can be powered off in order.
 *
 * @throws {@link QemuMissingError}, {@link VmError} it could not be started
 */
export async function launch(
  program: string,
  args: readonly string[],
  { socketCount, file }: Inherited,
): Promise<Launched> {
  const command = guarded(program, args)
  const pipes = Array.from({ length: 3 + socketCount }, () => 'pipe' as const)
  const child = spawn(command.file, command.args, {
    stdio: [...pipes, ...(file === undefined ? [] : [file])],
    detached: true,
  })
  const started = deferred<void>()
  child.once('spawn', started.resolve)
  child.once('error', started.reject)
  try {
    await started.promise
  } catch (cause) {
    throw new VmError(`${program}: ${(cause as Error).message}`, '', cause)
  }
  const { stdin, stdout, stderr, pid } = child
  // An extra 'pipe' is a pair of sockets, open in both directions.
  const sockets = child.stdio.slice(3, 3 + socketCount).map((stream) => stream as Duplex)
  if (!stdin || !stdout || !stderr || pid === undefined)
    throw new VmError(`${program}: started without its pipes`)
  return { process: child, pid, stdin, stdout, stderr, sockets }
}
