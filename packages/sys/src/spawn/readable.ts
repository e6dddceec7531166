// Waiting for a descriptor of a child: by the reactor, which whoever only starts programs does not load.
import { check } from '../errno.ts'
import { type AsFd, fdNumber } from '../fd.ts'
import { POLLIN } from '../generated/constants/event.ts'
import { bind } from '../raw.ts'
import type { WaitOptions } from '../reactor.ts'

/** How often is looked without the reactor. */
const lookMs = 5

/**
 * Resolves when `fd` can be read without blocking. Where the file of the reactor cannot be read any more (after chroot(2),
 * under Landlock, without a free descriptor) and nobody has loaded it, it is looked at every 5 ms.
 *
 * @throws the signal's reason when aborted
 */
export async function readable(fd: AsFd, { signal }: WaitOptions = {}): Promise<void> {
  const loaded = await import('../reactor.ts').catch(() => undefined)
  if (loaded !== undefined) return loaded.reactor().readable(fd, { signal })
  for (;;) {
    signal?.throwIfAborted()
    if (isReadable(fdNumber(fd))) return
    await new Promise((resolve) => setTimeout(resolve, lookMs))
  }
}

const ppoll = bind('ppoll', 'ptr', 'int', 'ptr', 'ptr', 'int')

/** Zero seconds. */
const atOnce = new BigInt64Array(new ArrayBuffer(16))

function isReadable(fd: number): boolean {
  // struct pollfd: fd, events (16 bits), revents.
  const pollfd = Int32Array.of(fd, POLLIN)
  return check(ppoll(pollfd, 1, atOnce, null, 8), 'ppoll') > 0
}
