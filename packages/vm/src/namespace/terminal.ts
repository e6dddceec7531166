/**
 * The guest's console: a pseudo-terminal, so that PID 1 and whoever opens /dev/console have a real terminal. Neither
 * Node nor Bun can wait for a terminal's master, so `cat` carries its text to us over a pipe, and ours to it.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { closeSync, constants, openSync, readFileSync } from 'node:fs'
import { VmError } from '../errors.ts'
import { deferred } from '../host/deferred.ts'
import { guarded } from '../qemu/launch.ts'

/** A pseudo-terminal of the host's. */
export class Terminal {
  /** The master. Who inherits it can unlock the terminal (TIOCSPTLCK), which must happen before it is opened. */
  readonly masterFd: number
  /** Path of the other side. */
  readonly path: string
  readonly #reader: ChildProcess
  readonly #drained: Promise<void>
  #writer: ChildProcess | undefined

  /**
   * @param onText - gets what is written to the terminal
   * @throws {@link VmError} the host has no pseudo-terminals
   */
  constructor(onText: (bytes: Uint8Array) => void) {
    this.masterFd = openMaster()
    this.path = `/dev/pts/${terminalIndex(this.masterFd)}`
    const command = guarded('cat', [])
    this.#reader = spawn(command.file, command.args, {
      stdio: [this.masterFd, 'pipe', 'ignore'],
      detached: true,
    })
    this.#reader.stdout?.on('data', onText)
    const { promise, resolve } = deferred<void>()
    this.#drained = promise
    this.#reader.once('close', () => resolve())
    this.#reader.once('error', () => resolve())
  }

  /** Types `text`. The first call starts the `cat` for it: most guests are never typed at. */
  write(text: string): void {
    this.#writer ??= this.#startWriter()
    this.#writer.stdin?.write(text)
  }

  /** Gives the text that has come already its way, then lets go of everything. */
  async end(drainMs: number): Promise<void> {
    this.#writer?.kill('SIGKILL')
    // The last process that had the other side open is gone: `cat` reads what is left, then EIO.
    const timer = setTimeout(() => this.#reader.kill('SIGKILL'), drainMs)
    await this.#drained
    clearTimeout(timer)
    closeSync(this.masterFd)
  }

  #startWriter(): ChildProcess {
    const command = guarded('cat', [])
    const stdio: ['pipe', number, 'ignore'] = ['pipe', this.masterFd, 'ignore']
    const writer = spawn(command.file, command.args, { stdio, detached: true })
    // A guest that ends while it is typed at is no news here.
    for (const emitter of [writer, writer.stdin]) emitter?.on('error', () => {})
    return writer
  }
}

function openMaster(): number {
  try {
    return openSync('/dev/ptmx', constants.O_RDWR | constants.O_NOCTTY)
  } catch (cause) {
    throw new VmError(`the guest's console needs a pseudo-terminal: ${(cause as Error).message}`, '', cause)
  }
}

/** `tty-index:` of fdinfo, since Linux 4.15 (drivers/tty/pty.c, pty_show_fdinfo): TIOCGPTN without an ioctl. */
function terminalIndex(masterFd: number): number {
  const index = /^tty-index:\s*(\d+)/m.exec(readFileSync(`/proc/self/fdinfo/${masterFd}`, 'utf8'))?.[1]
  if (index === undefined) {
    closeSync(masterFd)
    throw new VmError("the guest's console needs Linux 4.15 or newer: /proc/self/fdinfo shows no tty-index")
  }
  return Number(index)
}
