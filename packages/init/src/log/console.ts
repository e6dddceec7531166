/**
 * The console: where PID 1's lines and those of the services go. Writing never blocks; what a slow console
 * does not take waits in a bounded queue, and what does not fit there is counted.
 */
import { AT_FDCWD, EPOLLOUT, O_APPEND, O_NOCTTY, O_NONBLOCK, O_WRONLY } from '@pkg/sys/constants'
import { isSysError } from '@pkg/sys/errno'
import { type OwnedFd } from '@pkg/sys/fd'
import { openat } from '@pkg/sys/fs'
import { duplicate, write } from '@pkg/sys/io'
import { reactor } from '@pkg/sys/reactor'
import { formatLine } from './format.ts'
import { outputQueue } from './output-queue.ts'

/** An open console. */
export interface Console extends Disposable {
  /** Writes `[time] source: text`. */
  line(source: string, text: string): void
  /** Resolves when all has been written, or after the time. */
  settle(timeoutMs: number): Promise<void>
}

/** What may wait for a slow console: 23 s of a serial line with 115 200 baud. */
const QUEUE_MAX_BYTES = 256 * 1024

/**
 * Opens a console.
 *
 * @param path - a terminal, a pipe or a file; `-` is the standard output
 * @param uptimeMs - the clock for the time stamps
 */
export function openConsole(path: string, uptimeMs: () => number): Console {
  const fd = openOutput(path)
  const queue = outputQueue(QUEUE_MAX_BYTES, (count) => {
    return formatLine(uptimeMs(), 'init', `${count} lines dropped, the console is too slow`)
  })
  let watch: Disposable | null = null
  const settled: (() => void)[] = []

  function drain(): void {
    if (queue.drain((bytes) => writeSome(fd, bytes))) {
      watch?.[Symbol.dispose]()
      watch = null
      for (const resolve of settled.splice(0)) resolve()
    } else {
      watch ??= reactor().watch(fd, EPOLLOUT, drain)
    }
  }

  return {
    line(source, text) {
      queue.push(formatLine(uptimeMs(), source, text))
      if (watch === null) drain()
    },
    settle(timeoutMs) {
      if (!queue.waiting) return Promise.resolve()
      const { promise, resolve } = Promise.withResolvers<void>()
      const timer = setTimeout(resolve, timeoutMs)
      settled.push(resolve)
      return promise.finally(() => clearTimeout(timer))
    },
    [Symbol.dispose]() {
      watch?.[Symbol.dispose]()
      fd.close()
    },
  }
}

function openOutput(path: string): OwnedFd {
  const flags = O_WRONLY | O_NONBLOCK | O_NOCTTY | O_APPEND
  if (path !== '-') return openat(AT_FDCWD, path, flags)
  try {
    // A new open file: O_NONBLOCK on the inherited one would change it for everybody who shares it.
    return openat(AT_FDCWD, '/proc/self/fd/1', flags)
  } catch (error) {
    // ENXIO for a socket, ENOENT without /proc.
    if (isSysError(error)) return duplicate(1)
    throw error
  }
}

/** A console that fails takes everything: nobody can be told, and PID 1 must go on. */
function writeSome(fd: OwnedFd, bytes: Uint8Array): number {
  try {
    return write(fd, bytes)
  } catch (error) {
    return isSysError(error, 'EAGAIN') ? 0 : bytes.length
  }
}
