// The user's terminal while a program in the machine has it: raw, and given back whatever happens.
import { spawnSync } from 'node:child_process'
import type { Writable } from 'node:stream'

/** The size of a terminal, in characters. */
export interface TerminalSize {
  readonly columns: number
  readonly rows: number
}

/** A terminal to read from, as much of `tty.ReadStream` as is needed. */
export interface TerminalInput {
  setRawMode(mode: boolean): unknown
  /** Its file descriptor, for what `setRawMode` leaves. */
  readonly fd?: number
}

/** What is written to: a terminal when it knows its size, of which it tells by `resize`. */
export type TerminalOutput = Pick<Writable, 'on' | 'off'> & { columns?: number; rows?: number }

/** The size of `output`; a serial line's usual one where it is not known. */
export function terminalSize({ columns, rows }: Pick<TerminalOutput, 'columns' | 'rows'>): TerminalSize {
  return { columns: columns || 80, rows: rows || 24 }
}

/**
 * Puts the terminal into raw mode: every key, Ctrl-C too, is the program's. The result gives it back, and so does
 * the end of this process, unless it is SIGKILL.
 */
export function takeTerminal(
  input: TerminalInput,
  output: TerminalOutput,
  onResize: (size: TerminalSize) => void,
): Disposable {
  const restore = (): void => {
    input.setRawMode(false)
  }
  const resize = (): void => onResize(terminalSize(output))
  process.once('exit', restore)
  input.setRawMode(true)
  // Raw mode of Node and Bun still makes CR LF of each LF (libuv, uv_tty_set_mode), which the guest's terminal has
  // done already, or was told not to do by a program that draws. Cooked mode sets it back.
  if (input.fd !== undefined) spawnSync('stty', ['-opost'], { stdio: [input.fd, 'ignore', 'ignore'] })
  output.on('resize', resize)
  return {
    [Symbol.dispose]() {
      output.off('resize', resize)
      process.off('exit', restore)
      restore()
    },
  }
}

/** Ctrl-], which systemd-nspawn, machinectl and telnet have for the same purpose. */
const ESCAPE_BYTE = 0x1d
/** How often it must be pressed, and within which time: machinectl(1), shell. */
const ESCAPE_COUNT = 3
const ESCAPE_WITHIN_MS = 1000

/** Watches what is typed for the keys that cut the power of a machine that does not answer any more. */
export class EscapeKeys {
  readonly #onEscape: () => void
  #pressedAtMs: number[] = []

  constructor(onEscape: () => void) {
    this.#onEscape = onEscape
  }

  /** Looks at `bytes`, typed at `nowMs`. */
  typed(bytes: Uint8Array, nowMs: number = performance.now()): void {
    for (const byte of bytes) {
      this.#pressedAtMs = byte === ESCAPE_BYTE ? [...this.#pressedAtMs, nowMs].slice(-ESCAPE_COUNT) : []
      const [first] = this.#pressedAtMs
      if (this.#pressedAtMs.length < ESCAPE_COUNT || first === undefined) continue
      if (nowMs - first <= ESCAPE_WITHIN_MS) this.#onEscape()
    }
  }
}
