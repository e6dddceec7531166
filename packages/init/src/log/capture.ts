/** What a service writes to its standard output and error → lines, as it comes, never waiting for anyone. */
import { EPOLLIN } from '@pkg/sys/constants'
import { isSysError } from '@pkg/sys/errno'
import { type OwnedFd } from '@pkg/sys/fd'
import { read } from '@pkg/sys/io'
import { reactor } from '@pkg/sys/reactor'
import { floodLimit } from './flood.ts'
import { lineSplitter } from './lines.ts'

/** The captured output of one process. */
export interface Capture {
  /** Takes what is left in the pipes, with an unfinished last line, and closes them. */
  finish(): void
}

/** The longest line; longer ones are cut. systemd's LineMax is 48 KiB, too long for a console. */
const LINE_MAX_BYTES = 2048
/** One service may log so many lines at once, and so many a second for ever. */
const BURST_LINES = 1000
const LINES_PER_SECOND = 200
/** One read, and the most that one pipe may take of a turn of the loop. */
const buffer = new Uint8Array(new ArrayBuffer(16 * 1024))
const READS_PER_TURN = 4
/** At the end a pipe is emptied in one go; it holds 64 KiB (pipe(7)), unless somebody is still writing. */
const READS_AT_END = 64

/**
 * Captures the pipes of one process, and owns them.
 *
 * @param pipes - non-blocking read ends
 * @param nowMs - monotonic clock for the limit on floods
 * @param onLine - called for each line that passes
 */
export function captureOutput(
  pipes: readonly OwnedFd[],
  nowMs: () => number,
  onLine: (text: string) => void,
): Capture {
  const limit = floodLimit(BURST_LINES, LINES_PER_SECOND)
  function emit(text: string): void {
    const { pass, suppressed } = limit.admit(nowMs())
    if (suppressed > 0) onLine(suppressedText(suppressed))
    if (pass) onLine(text)
  }
  const captures = pipes.map((pipe) => capturePipe(pipe, emit))
  return {
    finish() {
      for (const capture of captures) capture.finish()
      const suppressed = limit.takeSuppressed()
      if (suppressed > 0) onLine(suppressedText(suppressed))
    },
  }
}

function suppressedText(count: number): string {
  return `(${count} lines suppressed: more than ${LINES_PER_SECOND} a second)`
}

function capturePipe(pipe: OwnedFd, emit: (text: string) => void): Capture {
  const splitter = lineSplitter(LINE_MAX_BYTES)
  const watch = reactor().watch(pipe, EPOLLIN, () => {
    if (take(READS_PER_TURN) === 'end') close()
  })

  function take(reads: number): 'more' | 'empty' | 'end' {
    for (let count = 0; count < reads; count++) {
      const sizeBytes = readSome(pipe)
      if (sizeBytes === null) return 'empty'
      if (sizeBytes === 0) return 'end'
      for (const line of splitter.push(buffer.subarray(0, sizeBytes))) emit(line)
    }
    return 'more'
  }

  function close(): void {
    if (pipe.closed) return
    watch[Symbol.dispose]()
    pipe.close()
    for (const line of splitter.flush()) emit(line)
  }

  return {
    finish() {
      if (!pipe.closed) take(READS_AT_END)
      close()
    },
  }
}

/** Bytes read, 0 at the end of the pipe, null when there is nothing now. */
function readSome(pipe: OwnedFd): number | null {
  try {
    return read(pipe, buffer)
  } catch (error) {
    if (isSysError(error, 'EAGAIN')) return null
    // No other error is documented for a pipe; an end is the safe meaning.
    return 0
  }
}
