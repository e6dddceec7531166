// A child whose steps may sleep: this thread goes on meanwhile, and is told when the child has left our memory.
import { SIGKILL } from '../generated/constants/signal.ts'
import { isSysError } from '../errno.ts'
import type { OwnedFd } from '../fd.ts'
import { type Pipe, pipe2 } from '../io.ts'
import { mmap } from '../memory/map.ts'
import type { Mapping } from '../memory/mapping.ts'
import { pidfd_send_signal } from '../process.ts'
import { reactor } from '../reactor.ts'
import {
  beginChild,
  type Begun,
  type Cloned,
  type CloneRequest,
  compileTo,
  isInside,
  reap,
  roomBytes,
} from './clone.ts'
import { endSharing } from './dumpable.ts'

/**
 * Makes a child, and resolves when it has executed another program or ended.
 *
 * @throws {@link SysError} of clone3; what `meanwhile` throws, and the signal's reason, after which the child is gone
 */
export async function cloneBeside(request: CloneRequest, signal: AbortSignal | undefined): Promise<Cloned> {
  // The child has the write end too, and loses it by exec or exit: the kernel gives up its memory before its descriptors
  // (fs/exec.c, begin_new_exec; kernel/exit.c, do_exit).
  using pipe = pipe2(0)
  const child = begin(request)
  pipe.write.close()
  const onAbort = (): void => kill(child)
  signal?.addEventListener('abort', onAbort)
  try {
    return await follow(request, child, pipe, signal)
  } catch (error) {
    kill(child)
    await left(child.mapping, pipe.read)
    reap(child.pidfd)
    throw error
  } finally {
    signal?.removeEventListener('abort', onAbort)
    end(child)
  }
}

function begin(request: CloneRequest): Begun {
  let mapping: Mapping | undefined
  try {
    return beginChild(
      request,
      (program) => {
        mapping?.[Symbol.dispose]()
        mapping = mmap({ lengthBytes: roomBytes(program) })
        return compileTo(program, mapping)
      },
      false,
    )
  } catch (error) {
    mapping?.[Symbol.dispose]()
    throw error
  }
}

function end({ mapping }: Begun): void {
  endSharing()
  mapping[Symbol.dispose]()
}

/** Ends a child, unless it has ended. */
export function kill({ pidfd }: Pick<Begun, 'pidfd'>): void {
  try {
    pidfd_send_signal(pidfd, SIGKILL)
  } catch (error) {
    // It has ended, and this process ignores SIGCHLD.
    if (!isSysError(error, 'ESRCH')) throw error
  }
}

async function follow(
  { meanwhile }: CloneRequest,
  child: Begun,
  pipe: Pipe,
  signal: AbortSignal | undefined,
): Promise<Cloned> {
  meanwhile?.(child)
  await left(child.mapping, pipe.read)
  signal?.throwIfAborted()
  const { pid, pidfd, program, compiled } = child
  return { pid, pidfd, program, compiled: compiled.slice() }
}

/** How often is looked where the pipe said nothing or too much. */
const lookMs = 1

/** Resolves when the child has left the memory. */
async function left(mapping: Mapping, pipe: OwnedFd): Promise<void> {
  await reactor().readable(pipe)
  // A step that puts another descriptor in the place of the pipe's ends it early.
  while (isInside(mapping)) await new Promise((resolve) => setTimeout(resolve, lookMs))
}
