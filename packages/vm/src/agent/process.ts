/** A program that runs in the guest, seen from the host. */
import type { Duplex, Readable, Writable } from 'node:stream'
import type { ProgramEnd, ProgramPlace, TerminalSize } from './protocol.ts'

/** How a program is started. */
export interface GuestSpawnOptions extends ProgramPlace {
  /** Gives it a terminal of this size as its controlling one; output and errors then both come on `stdout`. */
  readonly tty?: TerminalSize
  /** Default `pipe`. */
  readonly stdin?: 'pipe' | 'null'
  /** Gives it a socket as descriptor 3, whose other end is {@link GuestProcess.ipc}. */
  readonly ipc?: boolean
}

/** Who gets a signal. */
export interface KillOptions {
  /**
   * Also those of its process group, as Ctrl-C at a terminal does: every program is started as the leader of one, and
   * its children are in it unless they have left it. Default: no.
   */
  readonly group?: boolean
}

/** A program that was started. */
export interface GuestProcess {
  /** Its process id in the guest. */
  readonly pid: number
  /** Its standard input; ended from the start with `stdin: 'null'`. */
  readonly stdin: Writable
  /** Its standard output. What is not read stops it, as a pipe does. */
  readonly stdout: Readable
  /** Its standard error; empty with a terminal. */
  readonly stderr: Readable
  /** Its descriptor 3, if that was asked for. */
  readonly ipc?: Duplex
  /** Resolves when it has ended; rejects when the machine has. Output may still be on its way. */
  readonly exited: Promise<ProgramEnd>
  /**
   * Sends it a signal (default `SIGTERM`). Nothing happens when it has ended.
   *
   * @throws RangeError no such signal
   */
  kill(signal?: NodeJS.Signals, options?: KillOptions): Promise<void>
  /**
   * Sets the size of its terminal.
   *
   * @throws TypeError it has none
   */
  resize(columns: number, rows: number): Promise<void>
}

/** How {@link import('../agent.ts').AgentClient.exec} runs a program. */
export interface GuestExecOptions extends ProgramPlace {
  /** Its standard input; default: empty. */
  readonly input?: string | Uint8Array
  /** Kills it after so many milliseconds. Default: never. */
  readonly timeoutMs?: number
  /** Whether an end other than exit status 0 is an error. Default: yes. */
  readonly check?: boolean
  /** Kills it when aborted. */
  readonly signal?: AbortSignal
}

/** What a program left behind. */
export interface GuestExecResult extends ProgramEnd {
  /** Its standard output. */
  readonly stdout: string
  /** Its standard error. */
  readonly stderr: string
}
